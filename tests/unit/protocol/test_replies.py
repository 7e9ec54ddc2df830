"""Frames that go out."""

import json

import orjson

from relay.protocol import messages
from tests.events import unsigned_event

ODD = 'a"\\\n\u0000😀'


def test_01_e01_ok_always_has_four_elements() -> None:
    assert json.loads(messages.ok(ODD, True)) == ["OK", ODD, True, ""]


def test_01_e02_ok_false_carries_its_text() -> None:
    assert json.loads(messages.ok("id", False, "blocked: no")) == ["OK", "id", False, "blocked: no"]


def test_eose_names_its_subscription() -> None:
    assert json.loads(messages.eose(ODD)) == ["EOSE", ODD]


def test_closed_names_its_subscription_and_the_reason() -> None:
    assert json.loads(messages.closed(ODD, "error: x")) == ["CLOSED", ODD, "error: x"]


def test_a_notice_carries_its_text() -> None:
    assert json.loads(messages.notice(ODD)) == ["NOTICE", ODD]


def test_head_and_stored_text_and_bracket_make_the_frame_of_an_event() -> None:
    event = unsigned_event(content=ODD)
    assert json.loads(messages.event_head(ODD) + orjson.dumps(event) + b"]") == ["EVENT", ODD, event]
