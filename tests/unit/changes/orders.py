"""Orders of changes for tests: made of few events that come, go and come back."""

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from relay.changes.change import Added, Batch, Change, Purged, Removed, Vanished
from relay.protocol.event import Event, StoredEvent
from tests import strategies
from tests.events import NOW, unsigned_event

Json = dict[str, Any]
Spans = tuple[tuple[int, int], ...]


def stored(event: Json) -> StoredEvent:
    return StoredEvent.of(msgspec.convert(event, Event))


def note(number: int, **fields: Any) -> StoredEvent:
    """An event that differs from those of other numbers."""
    return stored(unsigned_event(content=str(number), **fields))


def additions(count: int, first: int = 1) -> list[Change]:
    """`count` changes, numbered from `first`, each of which adds another event."""
    return [Added(seq, note(seq)) for seq in range(first, first + count)]


def batches(changes: Sequence[Change], ends: Iterable[int]) -> list[Batch]:
    """The changes, divided after the indexes in `ends`."""
    cuts = sorted({0, len(changes), *(end for end in ends if end < len(changes))})
    return [Batch.of(changes[start:end]) for start, end in itertools.pairwise(cuts)]


def slices(changes: Sequence[Change]) -> st.SearchStrategy[Batch]:
    """Any part of an order, as it might come from the bus or the log."""
    starts = st.integers(0, len(changes) - 1)
    return starts.flatmap(
        lambda start: st.integers(start + 1, len(changes)).map(lambda end: Batch.of(changes[start:end]))
    )


LIFTED = -1


class History:
    """An order of changes over a pool of events, and what it leaves stored."""

    def __init__(self, pool: Sequence[Json], steps: Sequence[int | tuple[str | Spans, int]]) -> None:
        """Step n adds the pool's event n, or removes it if it is there; -n removes it even if it is not. With a key and
        a time the key vanishes: nothing of it is added any more, and it vanishes again only at a later time. With a
        key and LIFTED that was a ban, which was lifted. With spans of kinds and a time what lies before it is purged;
        it may be added again.
        """
        self.pool = {event["id"]: event for event in pool}
        self.changes: list[Change] = []
        vanished: dict[str, int] = {}
        for step in steps:
            seq = len(self.changes) + 1
            if isinstance(step, tuple):
                key, until = step
                if not isinstance(key, str):
                    self.changes.append(Purged(seq, key, until))
                elif until == LIFTED:
                    vanished.pop(key, None)
                elif until > vanished.get(key, -1):
                    vanished[key] = until
                    self.changes.append(Vanished(seq, key, until))
                continue
            event = pool[abs(step) % len(pool)]
            is_refused = event["created_at"] <= vanished.get(event["pubkey"], -1)
            if step < 0 or is_refused or event["id"] in state_after(self.changes):
                self.changes.append(Removed(seq, event["id"]))
            else:
                self.changes.append(Added(seq, stored(event)))

    def __repr__(self) -> str:
        return f"History({' '.join(map(_name, self.changes))})"

    def state(self, position: int) -> list[Json]:
        """What is stored after the change `position`."""
        return [self.pool[event_id] for event_id in state_after(self.changes[:position])]


def _name(change: Change) -> str:
    match change:
        case Added():
            return f"+{change.event.id[:4]}"
        case Removed():
            return f"-{change.event_id[:4]}"
        case Vanished():
            return f"v{change.pubkey[:4]}<={change.until}"
        case Purged():
            return f"p{change.kinds}<{change.before}"


def state_after(changes: Iterable[Change]) -> list[str]:
    """The ids that are stored after `changes`, by the plainest of rules."""
    present: dict[str, StoredEvent] = {}
    for change in changes:
        match change:
            case Added():
                present[change.event.id] = change.event
            case Removed():
                present.pop(change.event_id, None)
            case Vanished():
                present = {i: event for i, event in present.items() if not _goes_with(change, event)}
            case Purged():
                present = {
                    i: event
                    for i, event in present.items()
                    if event.created_at >= change.before
                    or all(event.kind not in range(low, high + 1) for low, high in change.kinds)
                }
    return list(present)


def _goes_with(change: Vanished, event: StoredEvent) -> bool:
    if event.created_at > change.until:
        return False
    return event.pubkey == change.pubkey or (event.kind == 1_059 and "p" + change.pubkey in event.tag_keys)


def _pool() -> list[Json]:
    """Events made once: few seconds, kinds, authors and tags, some that expire, some private."""
    chance = random.Random(1)
    tags = [["t", "a"], ["t", "b"], ["d", "a"], ["p", strategies.PUBKEYS[0]], ["expiration", str(NOW)]]
    return [
        unsigned_event(
            pubkey=chance.choice(strategies.PUBKEYS),
            kind=chance.choice([1, 1, 1, 7, 30_000, 4, 1_059]),
            created_at=NOW - chance.choice([0, 1, 1, 1, 2]),
            tags=chance.sample([*tags, ["expiration", str(NOW + 1)]], chance.choice([0, 0, 1, 1, 2, 3])),
            content=str(number),
        )
        for number in range(200)
    ]


POOL = _pool()


def histories(*, max_events: int = 14, max_changes: int = 30) -> st.SearchStrategy[History]:
    """Orders over a few events of the pool, so that seconds are shared and events come back."""
    pools = st.builds(
        lambda start, count: POOL[start : start + count],
        st.integers(0, len(POOL) - max_events),
        st.integers(1, max_events),
    )
    until = st.one_of(st.integers(NOW - 3, NOW), st.integers(NOW - 3, NOW), st.just(LIFTED))
    vanish = st.tuples(st.sampled_from(strategies.PUBKEYS), until)
    spans = st.sampled_from([((1, 1),), ((2, 6), (8, 9_999)), ((1, 29_999),)])
    purge = st.tuples(spans, st.integers(NOW - 3, NOW + 1))
    step = st.integers(-max_events // 4, max_events)
    steps = st.lists(st.one_of(step, step, step, step, step, step, vanish, purge), max_size=max_changes)
    return st.builds(History, pools, steps)
