"""What memory answers: the same as a list of all events, whatever limit a filter has."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from relay.background import BackgroundTasks
from relay.caching.answers import Answers
from relay.caching.copies import Copies
from relay.caching.page import Page
from relay.caching.page_cache import MAX_PAGE_BYTES
from relay.changes.change import Added, Batch, Removed
from relay.changes.ring import Ring
from relay.freshness.arrivals import Arrivals
from relay.protocol.audience import Audience
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.protocol.messages import End
from relay.storage.store import Store
from tests.collisions import colliding_kinds
from tests.events import NOW
from tests.unit.changes.orders import note

PROFILE = note(1, kind=0)
UNREACHABLE: Any = None
FILTERS: list[dict[str, Any]] = [{"ids": [PROFILE.id]}, {"authors": [PROFILE.pubkey], "kinds": [0]}]


def without_window(ring: Ring) -> Copies:
    """As while the window is behind: the pages answer."""
    store = Store("a" * 16, "b" * 16, 1)
    arrivals = Arrivals(lambda: ring)
    return Copies(
        UNREACHABLE, lambda: ring, arrivals, BackgroundTasks(), shared=None, store=lambda: store, window_bytes=0
    )


def from_a_page(flt: Filter, event: StoredEvent) -> Copies:
    """The ring no longer has the event; a page of the filter that is the key for all limits has it."""
    ring = Ring(1, 10**6)
    copies = without_window(ring)
    pages, key = copies.cache_of(flt)
    pages.keep(Page(key, 1, [event.json], True), ring)
    return copies


def from_the_ring(_: Filter, event: StoredEvent) -> Copies:
    ring = Ring(0, 10**6)
    ring.append(Batch.of([Added(1, event)]))
    return without_window(ring)


@pytest.mark.parametrize("made", [from_a_page, from_the_ring])
@pytest.mark.parametrize("asked", FILTERS)
def test_a_limit_of_zero_is_answered_with_nothing(
    made: Callable[[Filter, StoredEvent], Copies], asked: dict[str, Any]
) -> None:
    copies = made(parse_filter({**asked, "limit": 1}, Limits()), PROFILE)
    known = copies.known([parse_filter({**asked, "limit": 0}, Limits())])
    assert known is not None
    assert (list(known.texts), known.end) == ([], End.UNKNOWN)


@pytest.mark.parametrize("asked", FILTERS)
def test_every_other_limit_shares_a_page(asked: dict[str, Any]) -> None:
    copies = from_a_page(parse_filter({**asked, "limit": 1}, Limits()), PROFILE)
    for flt in (asked, {**asked, "limit": 5}):
        known = copies.known([parse_filter(flt, Limits())])
        assert known is not None
        assert (list(known.texts), known.end) == ([PROFILE.json], End.FINISH)


def test_no_page_answers_while_changes_from_the_log_lack_what_was_removed_since() -> None:
    """A profile was replaced twice. The log has the second version no more: in its place stands a removal."""
    first, second, third = (note(number, kind=0, created_at=number) for number in (1, 2, 3))
    ring = Ring(1, 10**6)
    pages, key = without_window(ring).cache_of(parse_filter(FILTERS[1], Limits()))
    pages.keep(Page(key, 1, [first.json], True), ring)

    ring.complete_from = 5
    ring.append(Batch.of([Removed(2, first.id), Removed(3, second.id)]))
    assert pages.find(key, NOW) is None, "at 3 the second version was served, and not none"
    ring.append(Batch.of([Removed(4, second.id), Added(5, third)]))
    page = pages.find(key, NOW)
    assert page is not None
    assert page.texts == [third.json]


def test_answers_to_kinds_that_clients_chose_for_their_hash_are_found_apart() -> None:
    ring, kinds = Ring(1, 10**6), colliding_kinds()
    copies = without_window(ring)
    for number, each in enumerate(kinds, 1):
        flt = parse_filter({"kinds": sorted(each), "limit": 5}, Limits())
        copies.results.keep(Page(flt, 1, [note(number).json], True), ring)

    assert (len(kinds), len(set(map(hash, kinds)))) == (32, 1)
    assert len(set(map(hash, copies.results._memory._entries))) == len(kinds)
    for number, each in enumerate(kinds, 1):
        known = copies.known([parse_filter({"kinds": sorted(each), "limit": 5}, Limits())])
        assert known is not None
        assert list(known.texts) == [note(number).json]


def grown(length: int, count: int) -> tuple[Copies, list[bytes]]:
    """What came after a page that was kept without a row, events of this content, and its answer then."""
    ring, flt = Ring(0, 10**9), parse_filter({"kinds": [1]}, Limits())
    copies = without_window(ring)
    copies.results.keep(Page(flt, 0, [], True), ring)
    ring.append(
        Batch.of([Added(seq, note(seq, created_at=seq, tags=[["alt", "0" * length]])) for seq in range(1, count + 1)])
    )
    known = copies.known([flt])
    assert known is not None
    return copies, list(known.texts)


def test_a_page_that_has_grown_counts_with_what_it_has_now() -> None:
    copies, texts = grown(1_000, 9)
    assert len(texts) == 9
    assert (len(copies.results._memory), copies.results.l1.evictions.total()) == (1, 0)
    assert copies.results._memory.bytes > sum(map(len, texts))


def test_a_page_that_has_grown_too_large_answers_once_more_and_is_dropped() -> None:
    copies, texts = grown(MAX_PAGE_BYTES // 4, 5)
    assert len(texts) == 5
    assert (len(copies.results._memory), copies.results._memory.bytes) == (0, 0)
    assert copies.results.l1.evictions == {"bytes": 1}


@pytest.mark.parametrize("keys", [(), ("a" * 64,)])
def test_01_k04_kinds_that_are_never_stored_are_answered_without_the_window(keys: Sequence[str]) -> None:
    ring, audience = Ring(7, 10**6), Audience.of(keys)
    answers = Answers(
        UNREACHABLE,
        Arrivals(lambda: ring),
        lambda: ring,
        UNREACHABLE,
        BackgroundTasks(),
        shared=None,
        store=lambda: Store("a" * 16, "b" * 16, 1),
        window_bytes=0,
    )
    known = answers.known([parse_filter({"kinds": [24_133, 21_059]}, Limits())], audience)
    assert known is not None
    assert (list(known.texts), known.end) == ([], End.FINISH)
    assert answers.known([parse_filter({"kinds": [24_133, 1]}, Limits())], audience) is None
