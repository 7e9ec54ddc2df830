"""The parser under any input: a message comes out, or `Refused` with a frame that can be sent (X-4).

Every case is drawn from a fixed seed, so that a failure comes back; counts keep the whole file below 15 s.
"""

import json
import random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.protocol.event import StoredEvent, address, is_protected
from relay.protocol.limits import Limits
from relay.protocol.messages import EventMessage, Refused, ReqMessage, parse_message
from tests import strategies
from tests.events import sign_event

LIMITS = Limits(max_filters=3, max_event_tags=5, max_content_length=50)
VERBS = ["EVENT", "REQ", "CLOSE", "AUTH", "COUNT", "NEG-OPEN", "event", ""]
SEEDS = [
    orjson.dumps(
        ["EVENT", sign_event(content='hi \u0000 "é" 😀', tags=[["e", "ab" * 32], ["expiration", "1800000000"]])]
    ),
    orjson.dumps(["EVENT", sign_event(kind=30_023, tags=[[], ["d"], ["-"]]) | {"extra": [{"a": None}]}]),
    orjson.dumps(
        ["REQ", "sub", {"ids": ["ab" * 32], "kinds": [1, 7], "since": 1, "limit": 5}, {"#e": ["cd" * 32], "#t": ["x"]}]
    ),
    orjson.dumps(["CLOSE", "sub"]),
]
PIECES = [
    *(b'"', b"\\", b"[", b"]", b"{", b"}", b",", b":", b"null", b"true", b"-1", b"1e10", b"1.0", b"65536"),
    *(b"9223372036854775808", b"18446744073709551616", b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000"),
    *(b'"id":', b'"kind":', b'"tags":[[]]', b'["expiration"]', b'"limit":', b'"#e":', b"[" * 2_000, b'{"a":' * 2_000),
]


def check(frame: bytes | str) -> None:
    """Parse it, and use what came out as the relay would."""
    try:
        message = parse_message(frame, LIMITS)
    except Refused as refused:
        _check_reply(json.loads(refused.reply))
        return
    if isinstance(message, EventMessage):
        event = message.event
        event.has_valid_id()
        event.has_valid_signature()
        address(event)
        is_protected(event.tags)
        assert StoredEvent.from_json(event.json) == StoredEvent.of(event)
        again = parse_message(b'["EVENT",' + event.json + b"]", LIMITS)
        assert again == message
    elif isinstance(message, ReqMessage):
        assert all(0 <= wanted.limit <= LIMITS.max_limit for wanted in message.filters)


def _check_reply(reply: object) -> None:
    match reply:
        case ["NOTICE", str(text)] | ["OK", str(), False, str(text)]:
            assert text.startswith("invalid: ")
        case ["CLOSED" | "NEG-ERR", str(), str(text)]:
            assert text.startswith(("invalid: ", "unsupported: "))
        case _:
            pytest.fail(f"not a reply: {reply!r}")


@given(st.binary(max_size=200))
@settings(max_examples=500, derandomize=True, deadline=None)
def test_random_bytes(frame: bytes) -> None:
    check(frame)


@given(st.text(max_size=100))  # with lone surrogates
@settings(max_examples=300, derandomize=True, deadline=None)
def test_random_text(frame: str) -> None:
    check(frame)


@given(st.sampled_from(VERBS), st.lists(strategies.json_values(), max_size=4))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_random_json_behind_a_verb(verb: str, rest: list[object]) -> None:
    check(orjson.dumps([verb, *rest]))


@given(strategies.json_values())
@settings(max_examples=100, derandomize=True, deadline=None)
def test_random_json(value: object) -> None:
    check(orjson.dumps(value))


@given(st.sampled_from(["id", "pubkey", "created_at", "kind", "tags", "content", "sig"]), strategies.json_values())
@settings(max_examples=200, derandomize=True, deadline=None)
def test_events_with_one_field_replaced(field: str, value: object) -> None:
    check(orjson.dumps(["EVENT", sign_event() | {field: value}]))


def mutate(frame: bytes, draw: random.Random) -> bytes:
    """One to four small faults: a byte flipped, a slice cut, doubled or moved, a piece put in, the end torn off."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(frame) + 1)
        end = min(len(frame), start + draw.randint(0, 12))
        match draw.randrange(5):
            case 0:
                frame = frame[:start] + bytes((draw.randrange(256),)) + frame[start + 1 :]
            case 1:
                frame = frame[:start] + frame[end:]
            case 2:
                frame = frame[:start] + frame[start:end] * 2 + frame[end:]
            case 3:
                frame = frame[:start] + draw.choice(PIECES) + frame[end:]
            case _:
                frame = frame[:start] if draw.random() < 0.1 else frame
    return frame


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("valid", SEEDS, ids=["EVENT", "EVENT with more", "REQ", "CLOSE"])
def test_mutated_frames(valid: bytes, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(2_000):
        frame = mutate(valid, draw)
        try:
            check(frame)
        except Exception as fault:
            pytest.fail(f"{type(fault).__name__} for {frame!r}: {fault}")
