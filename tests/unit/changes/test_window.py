"""The newest events in memory answer as the oracle does, or not at all."""

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.changes.candidates import MAX_SCAN
from relay.changes.change import Added, Removed
from relay.changes.event_index import LIST_BYTES
from relay.changes.overlay import newest_first
from relay.changes.sizes import LONG_TAGS, MAX_LOOKS, event_bytes
from relay.changes.window import InWindow, Window
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.protocol.messages import End
from tests import strategies
from tests.events import NOW
from tests.oracle import naive_end, naive_query, naive_visible
from tests.unit.changes.orders import History, histories, note, stored

MAX_LIMIT = 4
DEFAULT_LIMIT = 2
LIMITS = Limits(max_limit=MAX_LIMIT, default_limit=DEFAULT_LIMIT)
Json = Mapping[str, Any]


def parse(wanted: Json) -> Filter:
    return parse_filter(wanted, LIMITS)


def ids(events: Sequence[Any]) -> list[str]:
    return [event["id"] if isinstance(event, Mapping) else event.id for event in events]


def below(history: History, window: Window, position: int) -> list[Any]:
    """What a reader finds below the floor at `position`, newest first, expired events included."""
    rows = sorted((stored(dict(event)) for event in history.state(position)), key=newest_first)
    shown = [row for row in rows if naive_visible({**history.pool[row.id], "tags": []}, NOW)]
    return [row for row in shown if window.floor is None or newest_first(row) > window.floor]


def assert_truthful(found: InWindow, end: str, history: History) -> None:
    """67-1: what it says of the end is right, and an event that it names as the next one is not in the answer."""
    assert found.end.value in ((), (end,))
    assert (found.next is not None) is (found.end is End.MORE)
    assert found.next is None or (found.next in history.pool and found.next not in ids(found.events))


def events_in(window: Window, wanted: dict[str, Any]) -> Sequence[StoredEvent] | None:
    """The events of an answer, None without one."""
    found = window.find(parse(wanted), NOW)
    return None if found is None else found.events


class Filling:
    """A window that is filled in pieces, each read at one position and taken in at a later one."""

    def __init__(self, history: History, max_bytes: int) -> None:
        self.history = history
        self.window = Window(max_bytes)

    def fill(self, read_at: int, position: int, count: int, known_from: int | None = None) -> None:
        """`known_from`: the first change that is worked in, of those up to `read_at` as well; they do no harm."""
        if self.window.complete or self.window.evicted:
            return
        rows = below(self.history, self.window, read_at)
        since = self.history.changes[read_at if known_from is None else known_from : position]
        self.window.extend(rows[:count], len(rows) <= count, since, position)


@given(st.data())
@settings(max_examples=100)
def test_a_window_answers_as_the_oracle_or_not_at_all(data: st.DataObject) -> None:
    history = data.draw(histories())
    events_kept = data.draw(st.integers(1, 20))
    filling = Filling(history, events_kept * (event_bytes(note(1)) + 3 * LIST_BYTES))
    for position in range(len(history.changes) + 1):
        if position:
            filling.window.apply([history.changes[position - 1]], position)
        if data.draw(st.booleans()):
            read_at = data.draw(st.integers(max(0, position - 3), position))
            known_from = data.draw(st.integers(max(0, read_at - 3), read_at))
            filling.fill(read_at, position, data.draw(st.integers(1, 5)), known_from)
        wanted = data.draw(strategies.filters(sorted(history.pool), max_limit=MAX_LIMIT))
        now = data.draw(st.integers(NOW - 1, NOW + 1))
        found = filling.window.find(parse(wanted), now)
        if found is not None:
            asked = (history.state(position), [wanted], now, MAX_LIMIT, DEFAULT_LIMIT)
            assert ids(found.events) == ids(naive_query(*asked))
            assert_truthful(found, naive_end(*asked), history)


@given(histories(), st.data())
def test_a_window_with_room_for_the_whole_store_answers_everything(history: History, data: st.DataObject) -> None:
    filling = Filling(history, 10**9)
    filling.fill(0, 0, 10)
    filling.window.apply(history.changes, len(history.changes))
    wanted = data.draw(strategies.filters(sorted(history.pool), max_limit=MAX_LIMIT))
    found = filling.window.find(parse(wanted), NOW)
    assert found is not None
    asked = (history.state(len(history.changes)), [wanted], NOW, MAX_LIMIT, DEFAULT_LIMIT)
    assert ids(found.events) == ids(naive_query(*asked))
    assert_truthful(found, naive_end(*asked), history)
    assert found.end is not End.UNKNOWN or wanted.get("limit") == 0


def test_a_window_that_was_not_filled_knows_nothing() -> None:
    window = Window(10**6)
    window.apply([Added(1, note(1))], 1)
    assert events_in(window, {"kinds": [1]}) is None


def test_a_removal_counts_though_the_event_was_read_before_its_addition_was_worked_in() -> None:
    window, event = Window(10**6), note(1)
    window.extend([event], True, [Added(1, event), Removed(2, event.id)], 2)
    assert not events_in(window, {})


def test_a_window_stays_within_its_bytes_and_forgets_the_oldest() -> None:
    bound = 100 * event_bytes(note(1))
    window = Window(bound)
    window.extend([], True, [], 0)
    window.apply([Added(number, note(number, created_at=NOW + number)) for number in range(1, 1_001)], 1_000)
    assert window.bytes <= bound
    assert not window.complete
    newest = events_in(window, {"limit": 2})
    assert newest is not None
    assert [event.created_at for event in newest] == [NOW + 1_000, NOW + 999]


def test_a_window_that_lost_everything_holds_no_bytes() -> None:
    window = Window(10**6)
    window.extend([], True, [], 0)
    events = [note(number) for number in range(50)]
    window.apply([Added(number, event) for number, event in enumerate(events, 1)], 50)
    window.apply([Removed(number, event.id) for number, event in enumerate(events, 51)], 100)
    assert not events_in(window, {})
    assert window.bytes == len(window) == 0


def test_a_window_that_is_never_full_forgets_the_authors_of_what_was_removed() -> None:
    window = Window(10**9)
    window.extend((), complete=True, changes=[], position=0)
    for number in range(1, 3_000):
        event = note(number, pubkey=f"{number:064x}")
        window.apply([Added(2 * number - 1, event)], 2 * number - 1)
        window.apply([Removed(2 * number, event.id)], 2 * number)
    assert len(window._index.names) < 1_100


def test_a_query_that_would_read_too_many_events_is_not_answered() -> None:
    window = Window(10**9)
    window.extend([], True, [], 0)
    window.apply(
        [Added(number, note(number, created_at=NOW - number)) for number in range(1, MAX_SCAN + 2)], MAX_SCAN + 1
    )
    assert events_in(window, {"kinds": [7, 9_735]}) is None
    assert not events_in(window, {"kinds": [7]})


def test_of_several_tags_the_one_on_the_fewest_events_is_read() -> None:
    window = Window(10**9)
    window.extend([], True, [], 0)
    rare = note(0, created_at=NOW, tags=[["a", "common"], ["x", "rare"]])
    common = [note(number, created_at=NOW - number, tags=[["a", "common"]]) for number in range(1, MAX_SCAN + 2)]
    window.apply([Added(number, event) for number, event in enumerate([rare, *common], 1)], MAX_SCAN + 2)
    assert ids(events_in(window, {"#a": ["common"], "#x": ["rare"]}) or ()) == [rare.id]
    assert events_in(window, {"#a": ["common"], "#x": ["none"]}) == []


def test_an_event_with_very_many_tags_is_found_by_each_of_them() -> None:
    long = note(1, created_at=NOW - 1, tags=[["t", str(number)] for number in range(LONG_TAGS + 1)])
    short = note(2, created_at=NOW, tags=[["t", "7"]])
    window = Window(10**7)
    window.extend([short, long], True, [], 2)
    assert ids(events_in(window, {"#t": ["7"]}) or ()) == [short.id, long.id]
    assert ids(events_in(window, {"#t": ["8"]}) or ()) == [long.id]
    assert not events_in(window, {"#t": ["none"]})
    assert events_in(window, {"#t": [str(number) for number in range(MAX_LOOKS + 1)]}) is None
    window.apply([Removed(3, long.id)], 3)
    assert not events_in(window, {"#t": ["8"]})


def test_a_query_that_would_compare_too_many_values_with_events_of_very_many_tags_is_not_answered() -> None:
    tags = [["t", str(number)] for number in range(LONG_TAGS + 1)]
    window = Window(10**9)
    window.extend([note(number, created_at=NOW - number, tags=tags) for number in range(30)], True, [], 2)
    values = [f"none {number}" for number in range(MAX_LOOKS // 20)]
    assert events_in(window, {"#t": values[:9]}) == []
    assert events_in(window, {"#t": values}) is None


def test_a_query_that_would_compare_too_many_values_of_several_tags_is_not_answered() -> None:
    tags = [["a", "common"], *[["t", str(number)] for number in range(LONG_TAGS - 1)]]
    window = Window(10**9)
    events = [note(number, created_at=NOW - number, tags=tags) for number in range(100)]
    window.extend(events, True, [], 2)
    few = {"#a": ["common"], "#t": ["7", "8"]}
    many = {"#a": ["common"], "#t": [value for _, value in tags[1:]]}
    by_id = {"ids": ids(events)}
    assert len(events_in(window, few) or ()) == MAX_LIMIT - 2
    assert len(events_in(window, by_id | few) or ()) == MAX_LIMIT - 2
    assert events_in(window, many) is None
    assert events_in(window, by_id | many) is None


def test_of_events_with_very_many_tags_the_oldest_are_forgotten_too() -> None:
    tags = [["t", str(number)] for number in range(LONG_TAGS + 1)]
    events = [note(number, created_at=NOW - number, tags=tags) for number in range(10)]
    window = Window(5 * event_bytes(events[0]))
    window.extend([], True, [], 0)
    window.apply([Added(number, event) for number, event in enumerate(events, 1)], 10)
    kept = events_in(window, {"#t": ["7"], "since": NOW - 1})
    assert kept is not None
    assert ids(kept) == ids(events[:2])
    assert len(window) < 5
