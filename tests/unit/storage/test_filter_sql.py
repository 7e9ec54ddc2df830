"""The statement of a query: its text is made once for filters of the same shape, whatever their values are."""

from typing import Any

from hypothesis import given
from msgspec.structs import replace

from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.protocol.visibility import all_public
from relay.storage import filter_sql
from relay.storage.filter_sql import Statement, needs_query, query_statement
from tests.events import NOW
from tests.strategies import filter_lists

LIMITS = Limits(max_limit=8, default_limit=4)


def parts(statement: Statement) -> tuple[str, list[Any], list[bool]]:
    return statement.text, list(statement.parameters), list(statement.ends)


def asked(filters: list[Filter], *, is_new: bool, attempt: int) -> tuple[str, list[Any], list[bool]]:
    if is_new:
        filter_sql._templates.clear()
    return parts(query_statement(filters, NOW, attempt=attempt, vanishing=attempt > 0))


@given(filter_lists())
def test_a_text_that_was_made_for_other_values_serves(wanted: list[dict[str, Any]]) -> None:
    parsed = [flt for flt in (parse_filter(each, LIMITS) for each in wanted) if needs_query(flt)]
    for attempt in range(3):
        fresh = asked(parsed, is_new=True, attempt=attempt)
        asked([with_other_values(flt) for flt in parsed], is_new=True, attempt=attempt)
        is_kept = len(fresh[0]) <= filter_sql.MAX_TEMPLATE_CHARACTERS
        assert len(filter_sql._templates) == is_kept
        assert asked(parsed, is_new=False, attempt=attempt) == fresh
        assert len(filter_sql._templates) == is_kept


def with_other_values(flt: Filter) -> Filter:
    """A filter of the same shape."""

    return replace(
        flt,
        ids=None if flt.ids is None else frozenset(hexes(len(flt.ids))),
        authors=None if flt.authors is None else frozenset(hexes(len(flt.authors))),
        kinds=None if flt.kinds is None else others_of_kinds(flt.kinds),
        since=None if flt.since is None else flt.since - 7,
        until=None if flt.until is None else flt.until + 7,
        tags=tuple(
            [(letter, frozenset([letter + value for value in hexes(len(values))])) for letter, values in flt.tags]
        ),
    )


def hexes(count: int) -> list[str]:
    return [f"{number:064x}" for number in range(count)]


def others_of_kinds(kinds: frozenset[int]) -> frozenset[int]:
    """As many, all of them public if these are."""
    chosen = [*range(500, 500 + len(kinds))]
    return frozenset(chosen if all_public(kinds) else [4, *chosen[1:]])


def test_no_more_than_a_bound_of_texts_are_kept() -> None:
    for limit in range(1, filter_sql.MAX_TEMPLATES + 50):
        query_statement([parse_filter({"kinds": [1], "limit": limit}, Limits(max_limit=5_000))], NOW)
    assert len(filter_sql._templates) <= filter_sql.MAX_TEMPLATES


def test_a_long_text_is_not_kept() -> None:
    filter_sql._templates.clear()
    every = {f"#{letter}": ["a" * 64] for letter in "abcdefghijklmnopqrstuvwxyz"}
    query_statement([parse_filter({**every, "limit": limit}, Limits()) for limit in range(1, 16)], NOW)
    assert filter_sql._templates == {}


def test_a_feed_until_the_least_time_is_a_question_that_postgresql_takes() -> None:
    authors = hexes(25)
    statement = query_statement([parse_filter({"authors": authors, "until": -(2**63), "limit": 1}, Limits())], NOW)
    numbers = [value for value in statement.parameters if isinstance(value, int)]
    assert numbers
    assert min(numbers) >= -(2**63)
