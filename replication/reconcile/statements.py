"""The SQL of anti-entropy, with the kinds and conditions of the relay as `$NAME`."""

from pathlib import Path

from relay.protocol.kinds import INDELIBLE_KINDS
from relay.storage.statements import Statements
from relay.storage.visibility_sql import BACKED_UP, COPIED, PRESENT, numbers

_FOLDER = Path(__file__).with_name("sql")
_NAMES = {"REMOVALS": numbers(INDELIBLE_KINDS), "BACKED_UP": BACKED_UP, "COPIED": COPIED, "PRESENT": PRESENT}

statement = Statements(_FOLDER, lambda: _NAMES)


def of_stage(stage: str) -> Statements:
    """Statements about the events of one stage: `$COMPARED` are their items, `$TEXTS` their texts."""
    parts = {"COMPARED": statement(f"compared_{stage}"), "TEXTS": statement(f"texts_of_{stage}")}
    return Statements(_FOLDER, lambda: _NAMES | parts)
