"""The result of a written batch: an outcome for each event, and the changes.

Rule: changes are numbered as in the database: in the order of the entries, what an event takes away before itself.
"""

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from relay.changes.change import Added, Batch, Change, Removed, Vanished
from relay.storage.batch import Entry
from relay.storage.channel import integer, integers
from relay.storage.request import Row


class WriteOutcome(Enum):
    """The outcome of one event."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    OUTDATED = "outdated"
    DELETED = "deleted"
    FAILED = "failed"


class WriteResult(Struct, frozen=True, gc=False):
    """One transaction: an outcome for each entry, and the changes that it committed (None if there were none).

    `position`: every stored or duplicate event lies at or below it; None if there is none. `hold_ms`: for how long the
    outcomes must be held, until no former holder of the lease relies on it (sql/lease.sql).
    """

    outcomes: Sequence[WriteOutcome]
    batch: Batch | None
    position: int | None
    hold_ms: int


def parse_result(row: Row, entries: Sequence[Entry]) -> WriteResult:
    """The result of WRITE for these entries."""
    first_seq, duplicates, outdated, refused, removed_by, removed_ids, newest, hold_ms = row
    outcomes = [WriteOutcome.STORED] * len(entries)
    for number in integers(duplicates):
        outcomes[number - 1] = WriteOutcome.DUPLICATE
    for number in integers(outdated):
        outcomes[number - 1] = WriteOutcome.OUTDATED
    for number in integers(refused):
        outcomes[number - 1] = WriteOutcome.DELETED
    seq = integer(first_seq)
    if not seq:
        return WriteResult(outcomes, None, integer(newest), integer(hold_ms))
    changes: list[Change] = []
    if entries[0].vanishes:
        event = entries[0].event
        changes.append(Vanished(seq, event.pubkey, event.created_at))
        return WriteResult(outcomes, Batch.of(changes), integer(newest), integer(hold_ms))
    removed: dict[int, list[str]] = {}
    for at, number in enumerate(integers(removed_by)):
        removed.setdefault(number, []).append((removed_ids or b"")[32 * at : 32 * at + 32].hex())
    for number, (entry, outcome) in enumerate(zip(entries, outcomes, strict=True), 1):
        for event_id in removed.get(number, ()):
            changes.append(Removed(seq, event_id))
            seq += 1
        if outcome is WriteOutcome.STORED:
            changes.append(Added(seq, entry.event))
            seq += 1
    return WriteResult(outcomes, Batch.of(changes), integer(newest), integer(hold_ms))


def parse_removals(row: Row) -> Batch | None:
    """The changes of DELETE_PART; None if there were none."""
    first_seq, removed_ids = integer(row[0]), row[1] or b""
    if not first_seq:
        return None
    gone = [removed_ids[at : at + 32].hex() for at in range(0, len(removed_ids), 32)]
    return Batch.of([Removed(first_seq + number, event_id) for number, event_id in enumerate(gone)])
