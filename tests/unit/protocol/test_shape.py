"""What an event must look like."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import orjson
import pytest

from relay.protocol.errors import Invalid
from relay.protocol.limits import Limits
from relay.protocol.messages import EventMessage, Refused, parse_message
from relay.protocol.shape import decode_event, event_from
from tests.events import unsigned_event

LIMITS = Limits()
Reader = Callable[[bytes, Limits], dict[str, Any]]


def by_message(text: bytes, limits: Limits) -> dict[str, Any]:
    """Through the fast way of a socket; the refusal is turned back into what the others raise."""
    try:
        message = parse_message(b'["EVENT",' + text + b"]", limits)
    except Refused as refused:
        raise Invalid(orjson.loads(refused.reply)[-1]) from None
    assert isinstance(message, EventMessage)
    return msgspec.structs.asdict(message.event)


def by_value(text: bytes, limits: Limits) -> dict[str, Any]:
    return msgspec.structs.asdict(event_from(orjson.loads(text), limits))


def by_text(text: bytes, limits: Limits) -> dict[str, Any]:
    return msgspec.structs.asdict(decode_event(text, limits))


@pytest.fixture(params=[by_message, by_value, by_text])
def read(request: pytest.FixtureRequest) -> Reader:
    """Every way in, so that all have the same opinion (X-2)."""
    way: Reader = request.param
    return way


def text_of(**changes: Any) -> bytes:
    return orjson.dumps(unsigned_event() | changes)


def raw(field: str, value: str) -> bytes:
    """An event whose field holds this JSON text, which orjson would not write."""
    return orjson.dumps(unsigned_event() | {field: "@"}).replace(b'"@"', value.encode())


def test_a_plain_event_is_read_as_it_is(read: Reader) -> None:
    event = unsigned_event(content="é\n", tags=[["e", "x"], ["t", "y", "z"]])
    assert read(orjson.dumps(event), LIMITS) == event


@pytest.mark.parametrize("field", ["id", "pubkey", "sig"])
@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text[:-1], lambda text: text + "a", lambda text: "g" + text[1:]]
)
def test_01_e08_hex_that_is_not_exact_is_refused(read: Reader, field: str, change: Callable[[str], str]) -> None:
    length = 128 if field == "sig" else 64
    with pytest.raises(Invalid, match=field):
        read(text_of(**{field: change("a" * length)}), LIMITS)


@pytest.mark.parametrize("kind", [0, 65_535])
def test_01_e09_kinds_from_0_to_65535_are_accepted(read: Reader, kind: int) -> None:
    assert read(text_of(kind=kind), LIMITS)["kind"] == kind


@pytest.mark.parametrize(
    "kind", ["-1", "65536", "1.5", "1.0", '"1"', "true", "null", "[]", "1e1", "99999999999999999999"]
)
def test_01_e09_any_other_kind_is_refused(read: Reader, kind: str) -> None:
    with pytest.raises(Invalid, match="kind"):
        read(raw("kind", kind), LIMITS)


@pytest.mark.parametrize("seconds", [0, 2**31, 2**32, 2**63 - 1])
def test_01_e10_times_of_64_bits_are_accepted(read: Reader, seconds: int) -> None:
    assert read(text_of(created_at=seconds), LIMITS)["created_at"] == seconds


@pytest.mark.parametrize(
    "seconds",
    [
        "-1",
        "1e10",
        "1.0",
        "1700000000.5",
        '"1700000000"',
        "true",
        "null",
        str(2**63),
        str(2**64),
        str(10**40),
        "-" + str(10**40),
    ],
)
def test_01_e10_any_other_time_is_refused(read: Reader, seconds: str) -> None:
    with pytest.raises(Invalid, match="created_at"):
        read(raw("created_at", seconds), LIMITS)


@pytest.mark.parametrize(
    "tags",
    [
        "null",
        "{}",
        '"t"',
        "1",
        "[null]",
        '["t"]',
        "[1]",
        "[{}]",
        "[[null]]",
        '[["t",1]]',
        '[["t",["x"]]]',
        '[["t",{}]]',
        '[["t",true]]',
    ],
)
def test_01_e12_tags_that_are_not_lists_of_strings_are_refused(read: Reader, tags: str) -> None:
    with pytest.raises(Invalid, match="tags"):
        read(raw("tags", tags), LIMITS)


def test_01_e13_empty_tags_are_accepted(read: Reader) -> None:
    assert read(text_of(tags=[[], [""]]), LIMITS)["tags"] == [[], [""]]


def test_01_e14_unknown_keys_are_dropped(read: Reader) -> None:
    assert read(text_of(extra={"a": [1, None]}, seen=True), LIMITS) == unsigned_event()


def test_01_e15_the_last_of_two_values_wins(read: Reader) -> None:
    doubled = text_of(kind=1)[:-1] + b',"kind":7,"content":1,"content":"last"}'
    assert (read(doubled, LIMITS)["kind"], read(doubled, LIMITS)["content"]) == (7, "last")


def test_01_e05_escapes_of_the_wire_are_decoded(read: Reader) -> None:
    assert read(raw("content", r'"\u000a\/\u00e9\ud83d\ude00\u0000"'), LIMITS)["content"] == "\n/é😀\u0000"


@pytest.mark.parametrize("field", ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"])
def test_a_missing_field_is_refused(read: Reader, field: str) -> None:
    event = unsigned_event()
    del event[field]
    with pytest.raises(Invalid, match=field):
        read(orjson.dumps(event), LIMITS)


@pytest.mark.parametrize("value", ["null", "1", '"x"', "[]", "true"])
def test_what_is_no_object_is_refused(read: Reader, value: str) -> None:
    with pytest.raises(Invalid, match="object"):
        read(value.encode(), LIMITS)


def test_11_4_as_many_tags_as_published_are_accepted(read: Reader) -> None:
    assert len(read(text_of(tags=[["t"]] * 3), replace(LIMITS, max_event_tags=3))["tags"]) == 3


def test_11_4_one_tag_more_is_refused(read: Reader) -> None:
    with pytest.raises(Invalid, match="tags"):
        read(text_of(tags=[["t"]] * 4), replace(LIMITS, max_event_tags=3))


def test_11_4_content_is_counted_in_characters_not_in_bytes(read: Reader) -> None:
    assert read(text_of(content="😀" * 3), replace(LIMITS, max_content_length=3))["content"] == "😀" * 3


def test_11_4_one_character_more_is_refused(read: Reader) -> None:
    with pytest.raises(Invalid, match="content"):
        read(text_of(content="😀" * 4), replace(LIMITS, max_content_length=3))


def test_40_4_a_malformed_expiration_is_refused(read: Reader) -> None:
    with pytest.raises(Invalid, match="expiration"):
        read(text_of(tags=[["expiration"]]), LIMITS)


@pytest.mark.parametrize("text", [b"", b"{", b'{"content":"\xff"}', b'{"content":"\\ud800"}', b"[" * 100_000])
def test_01_e07_text_that_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid, match="not JSON"):
        decode_event(text, LIMITS)
