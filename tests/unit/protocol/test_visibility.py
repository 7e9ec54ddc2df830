"""The one rule of all ways out: who may read what."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.event import Event, StoredEvent
from relay.protocol.filters import parse_filter
from relay.protocol.kinds import is_ephemeral
from relay.protocol.limits import Limits
from relay.protocol.visibility import (
    can_match,
    division,
    is_copied,
    keep_drafts_private,
    keep_for_logins,
    may_be_private,
    readable_part,
    visible,
    why_unreadable,
)
from tests import strategies
from tests.events import NOW, unsigned_event
from tests.oracle import naive_match, naive_readable, naive_visible
from tests.strategies import PUBKEYS

AUTHOR, RECIPIENT, OTHER = PUBKEYS[:3]


def stored(event: dict[str, Any]) -> StoredEvent:
    return StoredEvent.of(msgspec.convert(event, Event))


def letter(kind: int, *recipients: str) -> StoredEvent:
    return stored(unsigned_event(pubkey=AUTHOR, kind=kind, tags=[["p", key] for key in recipients]))


class Rule(NamedTuple):
    """The settings of who may read what, as the oracle takes them."""

    private_drafts: bool
    for_logins: tuple[int, ...]


ASKED_FOR = (3, 5, 4, 1_059, 22_242, 1_234, 30_023)
"""Kinds that are asked to be for those who log in; some are for fewer."""


@pytest.fixture(params=[Rule(False, ()), Rule(True, ()), Rule(False, ASKED_FOR), Rule(True, ASKED_FOR)], ids=str)
def rule(request: pytest.FixtureRequest) -> Iterator[Rule]:
    """Each setting of who may read drafts and some other kinds."""
    found: Rule = request.param
    keep_drafts_private(found.private_drafts)
    keep_for_logins(found.for_logins)
    yield found
    keep_drafts_private(False)
    keep_for_logins(())


PRIVATE_DRAFTS = pytest.mark.parametrize("rule", [Rule(True, ())], indirect=True)
FOR_LOGINS = pytest.mark.parametrize("rule", [Rule(True, ASKED_FOR)], indirect=True)
TWICE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the setting is that of all examples


@PRIVATE_DRAFTS
@pytest.mark.parametrize("kind", [31_234, 1_234, 10_013])
def test_37_1_where_drafts_are_private_they_are_for_their_author(rule: Rule, kind: int) -> None:
    assert visible(letter(kind, RECIPIENT), Audience.of([AUTHOR]), NOW)
    assert not visible(letter(kind, RECIPIENT), Audience.of([RECIPIENT]), NOW)
    assert not visible(letter(kind, RECIPIENT), ANONYMOUS, NOW)
    assert not is_copied(kind)


def answer(filters: list[dict[str, Any]], *keys: str) -> str:
    """The prefix of the refusal of a query, "" for one that is answered."""
    refused = why_unreadable([parse_filter(one, Limits()) for one in filters], Audience.of(keys))
    return refused.prefix if refused else ""


@pytest.mark.parametrize("kind", [4, 1_059, 21_059])
def test_59_2_a_query_for_private_kinds_alone_needs_a_login(kind: int) -> None:
    assert answer([{"kinds": [kind]}]) == "auth-required"
    assert answer([{"kinds": [kind]}, {"kinds": [4, 1_059], "#p": [RECIPIENT]}]) == "auth-required"
    assert answer([{"kinds": [kind]}], OTHER) == ""


@pytest.mark.parametrize(
    "filters",
    [
        [{}],
        [{"ids": ["0" * 64]}],
        [{"#p": [RECIPIENT]}],
        [{"kinds": []}],
        [{"kinds": [1, 1_059]}],
        [{"kinds": [1_059]}, {"kinds": [1]}],
        [{"kinds": [1_059]}, {"#p": [RECIPIENT]}],
        [{"kinds": [22_242]}],
    ],
)
def test_59_2_a_query_for_other_events_too_is_answered_without_a_word(filters: list[dict[str, Any]]) -> None:
    assert answer(filters) == answer(filters, OTHER) == ""


@pytest.mark.parametrize(
    "filters, prefix",
    [
        ([{"kinds": [1_059], "#p": [RECIPIENT]}], "restricted"),
        ([{"kinds": [1_059], "#p": [RECIPIENT]}, {"kinds": [1_059], "#p": [OTHER]}], ""),
        ([{"kinds": [1_059], "#p": [RECIPIENT, OTHER]}], ""),
        ([{"kinds": [1_059], "authors": [AUTHOR]}], ""),
        ([{"kinds": [1_059], "authors": [OTHER], "#p": [RECIPIENT]}], "restricted"),
        ([{"kinds": [4], "#p": [RECIPIENT]}], ""),  # what OTHER has written
        ([{"kinds": [4], "authors": [OTHER], "#p": [RECIPIENT]}], ""),
        ([{"kinds": [4], "authors": [AUTHOR]}], ""),  # what AUTHOR has written to OTHER
        ([{"kinds": [4], "authors": [AUTHOR], "#p": [RECIPIENT]}], "restricted"),
        ([{"kinds": [4, 1_059], "authors": [AUTHOR], "#p": [OTHER]}], ""),
    ],
)
def test_59_2_a_query_for_the_private_events_of_others_alone_is_restricted(
    filters: list[dict[str, Any]], prefix: str
) -> None:
    assert answer(filters, OTHER) == prefix


@PRIVATE_DRAFTS
def test_37_1_a_query_for_the_drafts_of_others_is_restricted(rule: Rule) -> None:
    assert answer([{"kinds": [31_234]}]) == "auth-required"
    assert answer([{"kinds": [31_234], "authors": [AUTHOR]}], OTHER) == "restricted"
    assert answer([{"kinds": [31_234], "#p": [OTHER]}], OTHER) == ""


@FOR_LOGINS
def test_42_7_a_kind_for_those_who_log_in_is_for_any_key(rule: Rule) -> None:
    assert visible(letter(30_023), Audience.of([OTHER]), NOW)
    assert not visible(letter(30_023, RECIPIENT), ANONYMOUS, NOW)
    assert answer([{"kinds": [30_023]}]) == answer([{"kinds": [3, 1_059]}]) == "auth-required"
    assert answer([{"kinds": [30_023]}], OTHER) == ""
    assert answer([{"kinds": [30_023, 1_059], "authors": [AUTHOR], "#p": [RECIPIENT]}], OTHER) == ""


@FOR_LOGINS
@pytest.mark.parametrize(
    "filters", [[{}], [{"kinds": [30_023, 1]}], [{"kinds": [30_023]}, {"kinds": [1]}], [{"ids": ["0" * 64]}]]
)
def test_42_7_a_query_for_other_events_beside_such_a_kind_is_answered_without_a_word(
    rule: Rule, filters: list[dict[str, Any]]
) -> None:
    assert answer(filters) == ""


@FOR_LOGINS
@pytest.mark.parametrize("kind", [4, 1_059, 1_234, 22_242])
def test_42_7_what_is_for_some_keys_alone_does_not_become_readable_by_all(rule: Rule, kind: int) -> None:
    assert not visible(letter(kind, RECIPIENT), Audience.of([OTHER]), NOW)


@TWICE
@given(event=strategies.events(), wanted=strategies.filter_lists(), keys=strategies.audiences())
def test_59_2_a_refused_query_would_have_found_nothing(
    rule: Rule, event: dict[str, Any], wanted: list[dict[str, Any]], keys: list[str]
) -> None:
    several = [tag for tag in event["tags"] if tag[:1] == ["p"]][1:]  # see the next test
    if answer(wanted, *keys) and not several:
        assert not any(naive_match(one, event) for one in wanted) or not naive_visible(event, NOW, keys, *rule)


@pytest.mark.parametrize("kind", [4, 1_059])
def test_59_2_what_is_for_several_is_not_found_by_the_names_of_others_alone(kind: int) -> None:
    asked = {"kinds": [kind], "authors": [AUTHOR], "#p": [RECIPIENT]}
    event = letter(kind, RECIPIENT, OTHER)
    assert visible(event, Audience.of([OTHER]), NOW)
    assert parse_filter(asked, Limits()).matches(event)
    assert answer([asked], OTHER) == "restricted"
    assert answer([asked | {"#p": [RECIPIENT, OTHER]}], OTHER) == ""


@pytest.mark.parametrize("kind", [4, 1_059, 21_059, 22_242])
def test_59_1_private_kinds_and_logins_are_not_sent_to_anonymous_readers(kind: int) -> None:
    assert not visible(letter(kind, RECIPIENT), ANONYMOUS, NOW)


@pytest.mark.parametrize("kind", [4, 1_059, 21_059])
def test_59_1_a_private_event_is_sent_only_to_its_recipients(kind: int) -> None:
    event = letter(kind, RECIPIENT, "f" * 64)
    assert visible(event, Audience.of([RECIPIENT]), NOW)
    assert visible(event, Audience.of([OTHER, RECIPIENT]), NOW)
    assert not visible(event, Audience.of([OTHER]), NOW)


def test_04_1_the_author_of_a_direct_message_may_read_it_and_that_of_a_gift_wrap_may_not() -> None:
    assert visible(letter(4, RECIPIENT), Audience.of([AUTHOR]), NOW)
    assert not visible(letter(1_059, RECIPIENT), Audience.of([AUTHOR]), NOW)


def test_42_4_a_login_is_never_sent() -> None:
    assert not visible(letter(22_242, RECIPIENT), Audience.of([AUTHOR, RECIPIENT]), NOW)


@pytest.mark.parametrize("seconds, seen", [(NOW - 1, False), (NOW, False), (NOW + 1, True)])
def test_40_2_an_event_is_gone_from_its_expiration_on(seconds: int, seen: bool) -> None:
    assert visible(stored(unsigned_event(tags=[["expiration", str(seconds)]])), ANONYMOUS, NOW) is seen


@TWICE
@given(event=strategies.events(), keys=strategies.audiences())
def test_x_1_visibility_agrees_with_the_oracle(rule: Rule, event: dict[str, Any], keys: list[str]) -> None:
    assert visible(stored(event), Audience.of(keys), NOW) is naive_visible(event, NOW, keys, *rule)


@TWICE
@given(event=strategies.events())
def test_copies_hold_exactly_the_kinds_that_any_client_may_read(rule: Rule, event: dict[str, Any]) -> None:
    assert is_copied(event["kind"]) is naive_readable(event, (), *rule)


@TWICE
@given(events=st.lists(strategies.events(), max_size=8), wanted=strategies.filter_lists(), keys=strategies.audiences())
def test_a_question_that_is_not_private_has_the_answer_that_any_client_gets(
    rule: Rule, events: list[dict[str, Any]], wanted: list[dict[str, Any]], keys: list[str]
) -> None:
    filters = [parse_filter(one, Limits()) for one in wanted]
    if may_be_private(filters, Audience.of(keys)):
        return
    for event in events:
        if any(naive_match(one, event) for one in wanted):
            assert naive_visible(event, NOW, keys, *rule) == naive_visible(event, NOW, (), *rule)


STORED = strategies.events(kinds=[kind for kind in strategies.KINDS if not is_ephemeral(kind)])


@pytest.mark.parametrize("key", ["", RECIPIENT])
def test_01_k04_nothing_is_looked_up_for_kinds_that_are_never_stored(key: str) -> None:
    audience = Audience.of([key] if key else [])
    alone = parse_filter({"kinds": [20_000, 24_133, 29_999], "#p": [RECIPIENT]}, Limits())
    beside = parse_filter({"kinds": [1, 24_133, 19_999, 30_000]}, Limits())
    assert not can_match(alone, audience)
    assert readable_part(alone, audience).matches_nothing
    assert can_match(beside, audience)
    assert readable_part(beside, audience).kinds == frozenset({1, 19_999, 30_000})


@TWICE
@given(event=STORED, wanted=strategies.filters(), keys=strategies.audiences())
def test_a_filter_that_cannot_match_matches_nothing_that_its_audience_may_read(
    rule: Rule, event: dict[str, Any], wanted: dict[str, Any], keys: list[str]
) -> None:
    if not can_match(parse_filter(wanted, Limits()), Audience.of(keys)):
        assert not (naive_match(wanted, event) and naive_visible(event, NOW, keys, *rule))


@TWICE
@given(event=STORED, wanted=strategies.filters(), keys=strategies.audiences())
def test_the_readable_part_and_the_division_of_a_filter_match_what_it_does_for_its_audience(
    rule: Rule, event: dict[str, Any], wanted: dict[str, Any], keys: list[str]
) -> None:
    audience, offered = Audience.of(keys), stored(event)
    flt = readable_part(parse_filter(wanted, Limits()), audience)
    parts = division(flt, audience) if audience else [flt]
    if visible(offered, audience, NOW):
        assert any(part.matches(offered) for part in parts) is naive_match(wanted, event)


def test_a_private_kind_is_looked_for_by_the_reader_as_author_and_as_recipient() -> None:
    key = "a" * 64
    audience = Audience.of([key])
    wanted = parse_filter({"kinds": [4, 1], "#p": ["b" * 64]}, Limits())
    public, own, received = division(wanted, audience)
    private = frozenset({4})
    assert public == structs.replace(wanted, kinds=frozenset({1}))
    assert own == structs.replace(wanted, kinds=private, authors=frozenset({key}))
    assert received == structs.replace(wanted, kinds=private, tags=(*wanted.tags, ("p", audience.tag_keys)))
