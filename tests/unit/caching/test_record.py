"""Values of the shared cache: what was written by us for this filter is read back, anything else is refused."""

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.caching.record import (
    TTL_SECONDS,
    InvalidRecord,
    Record,
    canonical,
    digest,
    key,
    key_pattern,
    pack,
    ttl_seconds,
    unpack,
)
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from tests import strategies
from tests.unit.changes.orders import POOL, stored

LIMITS = Limits(max_limit=10, default_limit=5)
OWNER = b"sixteen bytes..."
TEXTS = [stored(event).json for event in POOL[:20]]
Json = dict[str, Any]

records = st.builds(
    Record,
    st.integers(0, 2**63 - 1),
    st.booleans(),
    st.lists(st.sampled_from(TEXTS), max_size=3, unique=True),
    st.none() | st.just("ab" * 32),
)


def parse(wanted: Json) -> Filter:
    return parse_filter(wanted, LIMITS)


def differently_written(wanted: Json) -> st.SearchStrategy[Json]:
    """The same filter with its keys and lists in another order, and with doubles."""

    def rewritten(value: Any) -> st.SearchStrategy[Any]:
        if not isinstance(value, list):
            return st.just(value)
        doubles = st.lists(st.sampled_from(value), max_size=3) if value else st.just([])
        return doubles.flatmap(lambda more: st.permutations([*value, *more]))

    values = st.fixed_dictionaries({name: rewritten(value) for name, value in wanted.items()})
    return st.tuples(values, st.permutations(list(wanted))).map(
        lambda drawn: {name: drawn[0][name] for name in drawn[1]}
    )


@given(records)
@example(Record(2**64 - 1, True, []))
def test_what_was_packed_is_unpacked(record: Record) -> None:
    assert unpack(OWNER, pack(OWNER, record)) == record


@given(records, st.data())
def test_a_value_with_any_bit_changed_is_refused(record: Record, data: st.DataObject) -> None:
    value = bytearray(pack(OWNER, record))
    value[data.draw(st.integers(0, len(value) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(InvalidRecord):
        unpack(OWNER, bytes(value))


@pytest.mark.parametrize("record", [Record(7, False, TEXTS[:1]), Record(0, True, [])])
def test_a_value_with_any_byte_changed_cut_or_added_is_refused(record: Record) -> None:
    value = pack(OWNER, record)
    changed = [value[:place] + bytes([value[place] ^ 0xFF]) + value[place + 1 :] for place in range(len(value))]
    cut = [value[:end] for end in range(len(value))]
    for damaged in (*changed, *cut, value + b"\n", value + value, b"\x00" * len(value)):
        with pytest.raises(InvalidRecord):
            unpack(OWNER, damaged)


@given(st.binary(max_size=80))
def test_a_value_of_another_program_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidRecord):
        unpack(OWNER, value)


def test_the_value_of_another_filter_is_refused() -> None:
    with pytest.raises(InvalidRecord):
        unpack(OWNER[::-1], pack(OWNER, Record(7, True, TEXTS)))


@given(st.data())
def test_filters_that_mean_the_same_share_a_key(data: st.DataObject) -> None:
    wanted = data.draw(strategies.filters([event["id"] for event in POOL[:5]]))
    again = data.draw(differently_written(wanted))
    assert canonical(parse(wanted)) == canonical(parse(again))
    assert digest(parse(wanted)) == digest(parse(again))


@given(strategies.filters(), strategies.filters())
def test_filters_that_mean_different_things_have_different_keys(one: Json, other: Json) -> None:
    assert (canonical(parse(one)) == canonical(parse(other))) == (parse(one) == parse(other))


def test_a_key_names_store_and_cache_and_uses_one_of_their_sixteen_slots() -> None:
    owner = b"\xab" * 16
    assert len({key(store, cache, owner) for store in ("a.1.b", "a.2.c") for cache in ("events", "results")}) == 4
    tags = {key("a.1.b", "events", bytes([number]) * 16).split(b"{")[1].split(b"}")[0] for number in range(256)}
    assert len(tags) == 16


def test_a_pattern_matches_the_keys_of_one_cache_of_one_store() -> None:
    prefix = key_pattern("a.1.b", "events").removesuffix(b"*")
    owner = b"\xab" * 16
    assert key("a.1.b", "events", owner).startswith(prefix)
    assert not key("a.1.b", "results", owner).startswith(prefix)
    assert not key("a.1.bc", "events", owner).startswith(prefix)


@pytest.mark.parametrize("left", [-5.0, 0.5, 60.0])
def test_a_record_lives_no_longer_than_its_first_event(left: float) -> None:
    assert 0 < ttl_seconds(round(time.time() + left)) <= max(0.001, left + 0.5)


def test_lifetimes_are_spread() -> None:
    lives = [ttl_seconds() for _ in range(200)]
    assert 0.9 * TTL_SECONDS <= min(lives) < max(lives) <= 1.1 * TTL_SECONDS
