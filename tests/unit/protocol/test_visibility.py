"""The one rule of all ways out: who may read what, and that nothing else states it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.audience import NOBODY, Audience
from relay.protocol.event import Event, StoredEvent
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.protocol.visibility import NEVER_COPIED_KINDS, can_match, is_copied, may_be_private, visible
from tests import strategies
from tests.events import NOW, unsigned_event
from tests.oracle import naive_match, naive_readable, naive_visible
from tests.strategies import PUBKEYS

AUTHOR, RECIPIENT, OTHER = PUBKEYS[:3]
RELAY = Path(__file__).parents[3] / "relay"


def stored(event: dict[str, Any]) -> StoredEvent:
    return StoredEvent.of(msgspec.convert(event, Event))


def letter(kind: int, *recipients: str) -> StoredEvent:
    return stored(unsigned_event(pubkey=AUTHOR, kind=kind, tags=[["p", key] for key in recipients]))


@pytest.mark.parametrize("kind", [4, 1_059, 21_059, 22_242])
def test_59_1_private_kinds_and_logins_are_not_sent_to_anonymous_readers(kind: int) -> None:
    assert not visible(letter(kind, RECIPIENT), NOBODY, NOW)


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
    assert visible(stored(unsigned_event(tags=[["expiration", str(seconds)]])), NOBODY, NOW) is seen


@given(strategies.events(), strategies.audiences())
def test_x_1_visibility_agrees_with_the_oracle(event: dict[str, Any], keys: list[str]) -> None:
    assert visible(stored(event), Audience.of(keys), NOW) is naive_visible(event, NOW, keys)


@given(strategies.events())
def test_copies_hold_exactly_the_kinds_that_everybody_may_read(event: dict[str, Any]) -> None:
    assert is_copied(event["kind"]) is naive_readable(event, ())


@given(st.lists(strategies.events(), max_size=8), strategies.filter_lists(), strategies.audiences())
def test_a_question_that_is_not_private_has_the_answer_that_everybody_gets(
    events: list[dict[str, Any]], wanted: list[dict[str, Any]], keys: list[str]
) -> None:
    filters = [parse_filter(one, Limits()) for one in wanted]
    if may_be_private(filters, Audience.of(keys)):
        return
    for event in events:
        if any(naive_match(one, event) for one in wanted):
            assert naive_visible(event, NOW, keys) == naive_visible(event, NOW)


@given(strategies.events(), strategies.filters(), strategies.audiences())
def test_a_filter_that_cannot_match_matches_nothing_that_its_audience_may_read(
    event: dict[str, Any], wanted: dict[str, Any], keys: list[str]
) -> None:
    if not can_match(parse_filter(wanted, Limits()), Audience.of(keys)):
        assert not (naive_match(wanted, event) and naive_visible(event, NOW, keys))


STATED_IN = {"protocol/kinds.py", "protocol/visibility.py", "storage/visibility_sql.py"}
"""The rule, its constants, and its SQL form."""

CONSTANTS = {
    "ENCRYPTED_DIRECT_MESSAGE",
    "GIFT_WRAP",
    "EPHEMERAL_GIFT_WRAP",
    "AUTHOR_AND_RECIPIENT_KINDS",
    "RECIPIENT_KINDS",
    "UNREADABLE_KINDS",
    "PRIVATE_KINDS",
    "NEVER_COPIED_KINDS",
}


def mentions(tree: ast.AST) -> Iterator[str]:
    """Names of the rule's constants, and the numbers of kinds that mean nothing else."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in CONSTANTS:
                yield name
        elif isinstance(node, ast.Constant) and node.value in (1_059, 21_059, 22_242):
            yield str(node.value)


def test_no_other_module_of_the_relay_decides_visibility() -> None:
    found = {
        str(path.relative_to(RELAY)): sorted(set(mentions(ast.parse(path.read_text()))))
        for path in RELAY.rglob("*.py")
        if path.parent.name != "admin"
    }
    assert {name for name, names in found.items() if names} == STATED_IN


def test_no_sql_file_decides_visibility() -> None:
    kinds = [str(kind) for kind in sorted(NEVER_COPIED_KINDS) if kind > 1_000]
    assert [path.name for path in RELAY.rglob("*.sql") if any(kind in path.read_text() for kind in kinds)] == []
