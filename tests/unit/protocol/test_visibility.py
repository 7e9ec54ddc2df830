"""The one predicate of all read paths."""

from typing import Any

import msgspec
import pytest
from hypothesis import given

from relay.protocol.event import Event, StoredEvent
from relay.protocol.visibility import visible
from tests import strategies
from tests.events import NOW, unsigned_event
from tests.oracle import naive_visible


def stored(event: dict[str, Any]) -> StoredEvent:
    return StoredEvent.of(msgspec.convert(event, Event))


@pytest.mark.parametrize("kind", [4, 1_059, 21_059, 22_242])
def test_kinds_for_a_recipient_alone_and_logins_are_never_served(kind: int) -> None:
    assert not visible(stored(unsigned_event(kind=kind)), NOW)


@pytest.mark.parametrize("seconds, seen", [(NOW - 1, False), (NOW, False), (NOW + 1, True)])
def test_40_2_an_event_is_gone_from_its_expiration_on(seconds: int, seen: bool) -> None:
    assert visible(stored(unsigned_event(tags=[["expiration", str(seconds)]])), NOW) is seen


@given(strategies.events())
def test_x_1_visibility_agrees_with_the_oracle(event: dict[str, Any]) -> None:
    assert visible(stored(event), NOW) is naive_visible(event, NOW)
