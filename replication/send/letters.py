"""Dead letters: events that a peer has refused, noted with the reason and bounded in number."""

from collections.abc import Sequence

from replication.answers import MAX_REASON, Outcome
from replication.client import printable
from replication.models import Region
from replication.send.log import Connection, Sendable, run

MOST_OF_A_CLASS = 1_000
"""Of one peer and one class of reasons. What a peer bans is refused by the thousand, and must not push out the one
event that shows a fault."""

CLASSES = frozenset({"invalid", "blocked", "restricted", "error", "pow", "rate-limited", "auth-required"})


def class_of(reason: str) -> str:
    """The prefix of a reason in the protocol's form, "other" for an unknown one."""
    prefix = reason.partition(":")[0]
    return prefix if prefix in CLASSES else "other"


def add_letters(connection: Connection, peer: Region, refused: Sequence[tuple[Sendable, Outcome]]) -> None:
    """Note what the peer has refused. Raises psycopg.Error."""
    classes = set()
    for event, outcome in refused:
        found = class_of(outcome.text)
        classes.add(found)
        run(
            connection,
            "add_letter",
            {
                "peer": peer.pk,
                "event_id": event.id,
                "created_at": event.created_at,
                "kind": event.kind,
                "class": found,
                "reason": printable(outcome.text[:MAX_REASON]),
            },
        )
    for found in classes:
        run(connection, "trim_letters", {"peer": peer.pk, "class": found, "most": MOST_OF_A_CLASS})
