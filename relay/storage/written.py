"""What became of a batch that was written: an outcome for each event, and the changes.

Rule: changes are numbered as the database numbered them: in the order of the entries, '-' before its '+'.
"""

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from relay.changes.change import Added, Batch, Change, Removed
from relay.storage.batch import Entry
from relay.storage.channel import Row, integer, integers
from relay.storage.sole import Claim, claim_of_writer


class Outcome(Enum):
    """What became of an event that was to be written."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    OUTDATED = "outdated"
    FAILED = "failed"


class Written(Struct, frozen=True, gc=False):
    """One transaction: an outcome for each entry, and the changes that it committed (None if there were none).

    `position` is a number of the order up to which lies whatever was stored or found, `claim` the claim of the store
    under which that was; None when nothing was. `hold_ms`: for how long, counted from the answer, the outcomes have to
    be held so that no former holder of the lease can still believe that it is alone (sql/lease.sql).
    """

    outcomes: Sequence[Outcome]
    batch: Batch | None
    position: int
    claim: Claim | None
    hold_ms: int = 0


def written_by(row: Row, entries: Sequence[Entry]) -> Written:
    """What the answer to WRITE says of the entries."""
    first_seq, duplicates, outdated, replaced_by, replaced_ids, newest, serial, mine, held = row
    claim = claim_of_writer(serial, mine)
    hold_ms = integer(held)
    outcomes = [Outcome.STORED] * len(entries)
    for number in integers(duplicates):
        outcomes[number - 1] = Outcome.DUPLICATE
    for number in integers(outdated):
        outcomes[number - 1] = Outcome.OUTDATED
    seq = integer(first_seq)
    if not seq:
        return Written(outcomes, None, integer(newest), claim, hold_ms)
    replaced = {number: (replaced_ids or b"")[32 * i : 32 * i + 32] for i, number in enumerate(integers(replaced_by))}
    changes: list[Change] = []
    for number, (entry, outcome) in enumerate(zip(entries, outcomes, strict=True), 1):
        if outcome is not Outcome.STORED:
            continue
        if number in replaced:
            changes.append(Removed(seq, replaced[number].hex()))
            seq += 1
        changes.append(Added(seq, entry.event))
        seq += 1
    return Written(outcomes, Batch.of(changes), integer(newest), claim, hold_ms)
