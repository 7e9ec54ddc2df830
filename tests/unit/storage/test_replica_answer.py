"""An answer at S, advanced over the ring, is the oracle's at P for the same audience, or there is none."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.changes.change import Added, Batch, Removed, Vanished
from relay.changes.ring import Ring
from relay.changes.sizes import LONG_TAGS, MAX_LOOKS
from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.protocol.messages import End
from relay.storage.question import Question
from relay.storage.read_result import Part, end_of, id_in, key_of
from relay.storage.replica_answer import MOST_BEHIND, advanced
from tests import strategies
from tests.events import NOW
from tests.oracle import naive_match, naive_query, naive_visible
from tests.unit.changes.orders import History, additions, histories, note, stored

Json = dict[str, Any]

MAX_LIMIT, DEFAULT_LIMIT = 4, 2
LIMITS = Limits(max_limit=MAX_LIMIT, default_limit=DEFAULT_LIMIT)
PLENTY = 2**24


def right(history: History, position: int, wanted: Json, keys: list[str]) -> list[Json]:
    return [dict(row) for row in naive_query(history.state(position), [wanted], NOW, MAX_LIMIT, DEFAULT_LIMIT, keys)]


def matching(history: History, position: int, wanted: Json, keys: list[str]) -> list[Json]:
    """All that the audience may read, without a limit."""
    found = [row for row in history.state(position) if naive_visible(row, NOW, keys) and naive_match(wanted, row)]
    return sorted(found, key=lambda row: (-row["created_at"], row["id"]))


def part(history: History, position: int, wanted: Json, keys: list[str], texts: int) -> Part:
    """The oracle's answer as a replica gives it; only the first `texts` rows are texts."""
    rows = [stored(row).json for row in right(history, position, wanted, keys)]
    below = matching(history, position, wanted, keys)[len(rows) :]
    following = stored(below[0]).json if below else None
    return Part(rows[:texts], not below, [key_of(text) for text in rows[texts:]], following)


def filters(history: History) -> st.SearchStrategy[Json]:
    """Most of them broad, with a limit to meet."""
    broad = st.fixed_dictionaries(
        {}, optional={"limit": st.integers(0, MAX_LIMIT + 1), "kinds": st.just([1, 4, 1_059]), "#t": st.just(["a"])}
    )
    return st.one_of(broad, broad, strategies.filters(sorted(history.pool), max_limit=MAX_LIMIT))


@settings(max_examples=400)
@given(st.data(), histories(), strategies.audiences())
def test_an_advanced_answer_is_the_oracles(data: st.DataObject, history: History, keys: list[str]) -> None:
    wanted = data.draw(filters(history))
    newest = len(history.changes)
    position = data.draw(st.integers(0, newest))
    ring = Ring(0, PLENTY)
    if history.changes:
        ring.append(Batch.of(history.changes))
    audience = Audience.of(keys) if keys else ANONYMOUS
    flt = parse_filter(wanted, LIMITS)
    given_part = part(history, position, wanted, keys, data.draw(st.sampled_from([100, 100, 1, 0])))
    found = advanced([given_part], Question([flt], audience, "", 0, 0.0), position, ring, NOW)
    if found is None:
        return
    (new,) = found
    assert [id_in(item).decode() for item in new.items] == [row["id"] for row in right(history, newest, wanted, keys)]
    is_whole = len(new.items) == len(matching(history, newest, wanted, keys))
    assert end_of([new], new.items) in {End.UNKNOWN, End.FINISH if is_whole else End.MORE}


def question(**wanted: Any) -> Question:
    return Question([parse_filter(wanted, LIMITS)], ANONYMOUS, "", 0, 0.0)


def test_an_answer_without_later_changes_stays_what_it_is() -> None:
    ring = Ring(7, PLENTY)
    old = Part([note(1).json], True)
    assert advanced([old], question(), 7, ring, NOW) == [old]


def test_what_no_change_concerns_is_not_parsed() -> None:
    ring = Ring(0, PLENTY)
    ring.append(Batch.of(additions(3)))
    old = Part([b"not even JSON"], True)
    (new,) = advanced([old], question(kinds=[7]), 0, ring, NOW) or []
    assert new is old


def test_the_ring_must_reach_back_to_the_answer() -> None:
    assert advanced([Part((), True)], question(), 6, Ring(7, PLENTY), NOW) is None


def test_an_answer_that_is_too_far_behind_is_not_advanced() -> None:
    ring = Ring(0, PLENTY)
    ring.append(Batch.of([Removed(seq, "0" * 64) for seq in range(1, MOST_BEHIND + 3)]))
    assert advanced([Part((), True)], question(), 1, ring, NOW) is None
    assert advanced([Part((), True)], question(), 2, ring, NOW) == [Part((), True)]


def test_an_answer_is_not_advanced_over_changes_in_whose_tags_too_many_values_are_looked_for() -> None:
    ring, tags = Ring(0, 10**9), [["t", str(number)] for number in range(LONG_TAGS + 1)]
    ring.append(Batch.of([Added(seq, note(seq, tags=tags)) for seq in range(1, 3 + MAX_LOOKS // LONG_TAGS)]))
    values = [f"none {number}" for number in range(LONG_TAGS + 1)]
    assert advanced([Part((), True)], question(**{"#t": values[:9]}), 0, ring, NOW) == [Part((), True)]
    assert advanced([Part((), True)], question(**{"#t": values}), 0, ring, NOW) is None


def test_keys_are_not_advanced_over_a_request_to_vanish() -> None:
    """A key does not say whose event it is."""
    ring = Ring(0, PLENTY)
    ring.append(Batch.of([Vanished(1, "a" * 64, NOW)]))
    assert advanced([Part((), True, [key_of(note(1).json)])], question(), 0, ring, NOW) is None
