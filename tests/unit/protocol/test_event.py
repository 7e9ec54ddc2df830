"""Ids, stored forms, addresses, expirations."""

import hashlib
import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nostr_sdk import EventBuilder, Keys, Kind, Tag

from relay.protocol.errors import Invalid
from relay.protocol.event import Event, StoredEvent, address, expiration, is_protected
from relay.protocol.limits import Limits
from relay.protocol.messages import EventMessage, parse_message
from tests import strategies
from tests.events import NOW, sign_event, unsigned_event

SHORT_ESCAPES = {"\n": "\\n", '"': '\\"', "\\": "\\\\", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def event_of(fields: dict[str, Any]) -> Event:
    return msgspec.convert(fields, Event)


def naive_id(event: dict[str, Any]) -> str:
    """The id by the letter of NIP-01: seven escapes, everything else verbatim."""

    def text(value: str) -> str:
        return '"' + "".join(SHORT_ESCAPES.get(character, character) for character in value) + '"'

    tags = ",".join("[" + ",".join(map(text, tag)) + "]" for tag in event["tags"])
    line = f"[0,{text(event['pubkey'])},{event['created_at']},{event['kind']},[{tags}],{text(event['content'])}]"
    return hashlib.sha256(line.encode()).hexdigest()


TAGS = st.lists(st.lists(strategies.any_texts(8), max_size=3), max_size=3)


@given(strategies.any_texts(), TAGS)
def test_01_e04_the_id_of_the_verbatim_form_is_valid(content: str, tags: list[list[str]]) -> None:
    event = unsigned_event(content=content, tags=tags)
    assert event_of(event | {"id": naive_id(event)}).has_valid_id()


@given(strategies.any_texts(), TAGS)
def test_01_e06_the_id_of_the_form_of_json_stringify_is_valid_too(content: str, tags: list[list[str]]) -> None:
    assert event_of(unsigned_event(content=content, tags=tags)).has_valid_id()


@given(strategies.any_texts(), strategies.any_texts())
def test_01_e03_the_id_of_other_content_is_not_valid(content: str, other: str) -> None:
    event = unsigned_event(content=content) | {"content": other}
    assert event_of(event).has_valid_id() is (content == other)


@pytest.mark.parametrize("character", ["/", "\x7f", "\u2028", "\u2029", "\ufdd1", "\uffff", "é", "😀", "\x80", "<"])
def test_01_e04_characters_that_other_serialisers_escape_are_hashed_verbatim(character: str) -> None:
    event = unsigned_event(content=character)
    assert event_of(event | {"id": naive_id(event)}).has_valid_id()


def test_01_e06_a_written_out_escape_is_not_taken_for_a_control_character() -> None:
    event = unsigned_event(content="\\u0001")
    assert not event_of(event | {"id": naive_id(event | {"content": "\\\x01"})}).has_valid_id()


def test_an_id_is_checked_without_a_call_for_each_escape() -> None:
    event = event_of(unsigned_event(content="\x01\\" + "\n" * 10_000))
    calls = 0

    def count(_frame: object, kind: str, _argument: object) -> None:
        nonlocal calls
        calls += kind in {"call", "c_call"}

    sys.setprofile(count)
    try:
        is_valid = msgspec.structs.replace(event, id="0" * 64).has_valid_id()
    finally:
        sys.setprofile(None)
    assert not is_valid
    assert 0 < calls < 100


@pytest.mark.parametrize("field", ["pubkey", "created_at", "kind", "tags"])
def test_01_e03_every_field_is_part_of_the_id(field: str) -> None:
    changed = {"pubkey": "a" * 64, "created_at": NOW + 1, "kind": 2, "tags": [["t", "x"]]}
    assert not event_of(unsigned_event() | {field: changed[field]}).has_valid_id()


def test_a_signed_event_has_a_valid_signature() -> None:
    assert event_of(sign_event(content="hello")).has_valid_signature()


def test_01_e04_an_event_made_by_another_implementation_is_valid() -> None:
    content = 'é😀 \n\t\b\f\r"\\ / \x7f \u2028 \u0001'
    builder = EventBuilder(Kind(1), content).tags([Tag.parse(["t", "a\u0000b"])])
    message = parse_message(f'["EVENT",{builder.finalize(Keys.generate()).as_json()}]', Limits())
    assert isinstance(message, EventMessage)
    assert (message.event.content, message.event.tags) == (content, [["t", "a\u0000b"]])
    assert message.event.has_valid_id()
    assert message.event.has_valid_signature()


def test_01_e03_a_signature_of_another_event_is_not_valid() -> None:
    assert not event_of(sign_event(content="a") | {"sig": sign_event(content="b")["sig"]}).has_valid_signature()


@given(strategies.any_texts(), TAGS)
def test_the_stored_text_is_the_event_in_the_fixed_order_of_keys(content: str, tags: list[list[str]]) -> None:
    event = unsigned_event(content=content, tags=tags)
    assert list(json.loads(event_of(event).json).items()) == list(event.items())


def test_the_stored_text_has_no_white_space() -> None:
    assert b" " not in event_of(unsigned_event(tags=[["t", "x"]])).json


@given(strategies.events())
def test_a_stored_event_read_from_its_text_is_the_same(fields: dict[str, Any]) -> None:
    stored = StoredEvent.of(event_of(fields))
    assert StoredEvent.from_json(stored.json) == stored


@given(TAGS)
def test_a_stored_event_can_be_made_of_any_tags(tags: list[list[str]]) -> None:
    stored = StoredEvent.of(event_of(unsigned_event(tags=[["expiration"], ["expiration", "x"], *tags])))
    assert stored.expires_at is None


def test_01_f05_tag_keys_are_of_letters_with_a_value_and_of_the_first_value_only() -> None:
    tags = [["e", "A", "B"], ["E", "x"], ["t"], ["t", ""], [], [""], ["", "x"], ["tt", "x"], ["1", "x"], ["é", "x"]]
    assert StoredEvent.of(event_of(unsigned_event(tags=tags))).tag_keys == {"eA", "Ex", "t"}


def test_a_stored_event_knows_when_it_expires() -> None:
    assert StoredEvent.of(event_of(unsigned_event(tags=[["expiration", str(NOW)]]))).expires_at == NOW


@pytest.mark.parametrize(
    "tags, seconds",
    [
        pytest.param([], None, id="none"),
        pytest.param([[], [""], ["expirations", "x"]], None, id="none of this name"),
        pytest.param([["expiration", "0"]], 0, id="zero"),
        pytest.param([["expiration", "9223372036854775807"]], 2**63 - 1, id="the largest"),
        pytest.param([["expiration", "0" * 5_000 + "17"]], 17, id="leading zeros"),
        pytest.param([["expiration", "1", "x"], ["expiration", "2"]], 1, id="the first wins"),
        pytest.param([["expiration", "1"], ["expiration", "x"]], 1, id="the first wins over a bad one"),
    ],
)
def test_40_4_the_expiration_is_that_of_the_first_tag(tags: list[list[str]], seconds: int | None) -> None:
    assert expiration(tags) == seconds


@pytest.mark.parametrize(
    "tag",
    [
        pytest.param(["expiration"], id="no value"),
        *(["expiration", value] for value in ("", "x", "-1", "+1", "1.5", "1e9", " 1", "1_0", "٣", "²", "0x1")),
        pytest.param(["expiration", "9223372036854775808"], id="2^63"),
        pytest.param(["expiration", "1" * 5_000], id="5,000 digits"),
    ],
)
def test_40_4_any_other_expiration_is_invalid(tag: list[str]) -> None:
    with pytest.raises(Invalid):
        expiration([tag])


@pytest.mark.parametrize(
    "tags, d",
    [
        ([], ""),
        ([["d"]], ""),
        ([["d", ""]], ""),
        ([["d", "x", "y"]], "x"),
        ([["e", "z"], ["d", "x"], ["d", "y"]], "x"),
        ([["d"], ["d", "y"]], ""),
        ([[], ["d", "30023:x:\u0000"]], "30023:x:\u0000"),
    ],
)
def test_01_k05_the_address_has_the_value_of_the_first_d_tag(tags: list[list[str]], d: str) -> None:
    event = event_of(unsigned_event(kind=30_023, tags=tags))
    assert address(event) == (event.pubkey, 30_023, d)


@pytest.mark.parametrize("kind", [0, 3, 10_002])
def test_01_k02_the_address_of_a_replaceable_kind_has_no_d(kind: int) -> None:
    event = event_of(unsigned_event(kind=kind, tags=[["d", "x"]]))
    assert address(event) == (event.pubkey, kind, "")


@pytest.mark.parametrize("kind", [1, 5, 41, 20_000, 40_000])
def test_other_kinds_have_no_address(kind: int) -> None:
    assert address(event_of(unsigned_event(kind=kind, tags=[["d", "x"]]))) is None


@pytest.mark.parametrize(
    "tags, protected", [([["-"]], True), ([["t", "-"], ["-", "x"]], True), ([[], ["--"], [""]], False)]
)
def test_70_1_an_event_with_a_tag_named_minus_is_protected(tags: list[list[str]], protected: bool) -> None:
    assert is_protected(tags) is protected
