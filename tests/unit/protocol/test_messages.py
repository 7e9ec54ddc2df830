"""Frames that come in."""

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest

from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.protocol.messages import CloseMessage, EventMessage, Refused, ReqMessage, id_in, parse_message, refusal_of
from tests.events import sign_event, unsigned_event

LIMITS = Limits(max_filters=3)


def refusal(frame: bytes | str) -> list[Any]:
    """The answer to a frame that must be refused, parsed."""
    with pytest.raises(Refused) as refused:
        parse_message(frame, LIMITS)
    answer: list[Any] = json.loads(refused.value.reply)
    return answer


def frame(*parts: object) -> bytes:
    return orjson.dumps(parts)


@pytest.mark.parametrize("as_text", [False, True])
def test_an_event_is_parsed_from_bytes_and_from_text(as_text: bool) -> None:
    sent = frame("EVENT", sign_event(content="é😀"))
    message = parse_message(sent.decode() if as_text else sent, LIMITS)
    assert isinstance(message, EventMessage)
    assert message.event.json == orjson.dumps(sign_event(content="é😀") | {"sig": message.event.sig})


def test_white_space_around_the_parts_of_a_message_is_accepted() -> None:
    assert isinstance(parse_message(json.dumps(["EVENT", unsigned_event()], indent=2), LIMITS), EventMessage)


def test_an_escaped_name_of_a_message_is_understood() -> None:
    assert parse_message(r'["\u0043LOSE","x"]', LIMITS) == CloseMessage("x")


def test_01_e16_an_event_with_a_text_for_an_id_is_answered_with_that_id() -> None:
    answer = refusal(frame("EVENT", {"id": 'no "id"'}))
    assert answer[:3] == ["OK", 'no "id"', False]


def test_01_e02_a_refused_event_is_answered_with_prefix_and_text() -> None:
    answer = refusal(frame("EVENT", unsigned_event() | {"kind": -1}))
    assert answer[3].startswith("invalid: ")


def test_01_e08_a_refusal_names_the_upper_case_id_as_it_was_sent() -> None:
    assert refusal(frame("EVENT", unsigned_event() | {"id": "AB" * 32}))[:3] == ["OK", "AB" * 32, False]


def test_01_e15_the_last_id_is_the_one_that_is_answered() -> None:
    assert refusal('["EVENT",{"id":"first","id":"last"}]')[1] == "last"


@pytest.mark.parametrize(
    "sent",
    [
        '["EVENT"]',
        '["EVENT",null]',
        '["EVENT",[]]',
        '["EVENT","x"]',
        '["EVENT",{}]',
        '["EVENT",{"id":1}]',
        '["EVENT",{"id":null}]',
    ],
)
def test_01_e16_an_event_whose_id_cannot_be_read_gets_a_notice(sent: str) -> None:
    assert refusal(sent)[0] == "NOTICE"


@pytest.mark.parametrize(
    "sent",
    [
        *(b"", b" ", b"x", b"{}", b"[]", b"[", b"1", b"null", b'"EVENT"', b"[null]", b"[[]]", b"[1]", b"[{}]"),
        *(
            b'["event",{}]',
            b'["AUTH",{}]',
            b'["COUNT"]',
            b'["COUNT",1]',
            b'["NEG-OPEN",{},""]',
            b'["EVENT "]',
            b"[NaN]",
        ),
        *(b'["AUTH","challenge"]', b'["NEG-CLOSE","x"]', b'[1,"x"]', b'[[],"x"]', b'[null,"x"]', b'["OK",true]'),
        *(b'["CLOSE","x"]]', b"\x00", b'["CLOSE","\xff"]', b'["CLOSE","\\ud800"]', b'["CLOSE","\xed\xa0\x80"]'),
        *(b'["EVENT",{"id":"\\udc00"}]', b"\xef\xbb\xbf[]", b'["CLOSE","a\nb"]'),
    ],
)
def test_01_e21_what_is_no_message_gets_a_notice(sent: bytes) -> None:
    answer = refusal(sent)
    assert (answer[0], len(answer), answer[1].partition(" ")[0]) == ("NOTICE", 2, "invalid:")


@pytest.mark.parametrize("verb", ["COUNT", "", "req", "SEARCH", "NEG-STATUS", "EOSE"])
@pytest.mark.parametrize("rest", [[], [{}], [{}, "61"]])
def test_01_e21_an_unknown_verb_with_an_id_is_refused_with_that_id(verb: str, rest: list[object]) -> None:
    assert refusal(frame(verb, 'an "id"', *rest)) == [
        "CLOSED",
        'an "id"',
        "unsupported: this relay knows EVENT, REQ, CLOSE, AUTH",
    ]


@pytest.mark.parametrize("verb", ["NEG-OPEN", "NEG-MSG"])
def test_answer_neg_a_reconciliation_is_refused_with_neg_err(verb: str) -> None:
    assert refusal(frame(verb, "x", {}, "61"))[:2] == ["NEG-ERR", "x"]
    assert refusal(frame(verb, "x", {}, "61"))[2].startswith("unsupported: ")


@pytest.mark.parametrize("verb", ["NEG-OPEN", "NEG-MSG"])
def test_answer_neg_a_reconciliation_that_is_not_read_is_refused_with_neg_err_too(verb: str) -> None:
    broken = frame(verb, 'an "id"', {}, "61").removesuffix(b"]")
    assert refusal(broken)[:2] == ["NEG-ERR", 'an "id"']
    unread = refusal_of(broken, "rate-limited: slow down")
    assert json.loads(unread.reply) == ["NEG-ERR", 'an "id"', "rate-limited: slow down"]
    assert unread.subscription_id is None


def ended_by(sent: bytes) -> str | None:
    """The subscription that a refusal ends."""
    with pytest.raises(Refused) as refused:
        parse_message(sent, LIMITS)
    return refused.value.subscription_id


def test_01_s04_a_refused_req_ends_the_subscription_of_its_id() -> None:
    assert ended_by(frame("REQ", "x", {"search": "y"})) == "x"


@pytest.mark.parametrize("sent", [("COUNT", "x", {}), ("NEG-OPEN", "x", {}, "61"), ("EVENT", {"id": "x"}), ("REQ", 1)])
def test_01_s04_any_other_refusal_ends_no_subscription(sent: tuple[object, ...]) -> None:
    assert ended_by(frame(*sent)) is None


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\\ud800"])
@pytest.mark.parametrize("rest", [b',"x":"%b"}]', b'},"%b"]'], ids=["unknown key", "further element"])
def test_01_e07_what_would_be_dropped_must_be_valid_too(text: bytes, rest: bytes) -> None:
    event = unsigned_event()
    answer = refusal(frame("EVENT", event)[:-2] + rest % text)
    assert answer[:3] == ["OK", event["id"], False]
    assert answer[3].startswith("invalid: the message is not JSON")


ID = "ab" * 32
HALF = b"\\ud83d"  # of a surrogate pair, as JavaScript sends a text that was cut in the middle
LONG = b"x" * 10_000


@pytest.mark.parametrize("verb", [b"EVENT", b"AUTH"])
@pytest.mark.parametrize(
    "fields", [b'"id":"%b","content":"%b%b"', b'"content":"%b%b","id":"%b"'], ids=["id", "content"]
)
def test_01_e16_an_event_that_is_no_json_is_answered_with_its_id(verb: bytes, fields: bytes) -> None:
    given = (ID.encode(), LONG, HALF) if fields.startswith(b'"id"') else (LONG, HALF, ID.encode())
    answer = refusal(b'["' + verb + b'",{' + fields % given + b"}]")
    assert answer[:3] == ["OK", ID, False]
    assert answer[3].startswith("invalid: ")


def test_01_s02_a_req_that_is_no_json_is_closed_and_ends_the_subscription_of_its_id() -> None:
    sent = b'["REQ","a \\"quoted\\" one",{"#t":["' + HALF + b'"]}]'
    assert refusal(sent)[:2] == ["CLOSED", 'a "quoted" one']
    assert ended_by(sent) == 'a "quoted" one'
    assert refusal(b'["REQ","' + HALF + b'",{}]')[0] == "NOTICE"
    assert ended_by(b'["COUNT","x",{"#t":["' + HALF + b'"]}]') is None


def test_01_e07_a_lone_surrogate_in_a_text_frame_is_refused() -> None:
    assert refusal('["CLOSE","\ud800"]')[0] == "NOTICE"


@pytest.mark.parametrize(
    "sent",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'["EVENT",' + b"[" * 100_000,
        b'["EVENT",{"tags":' + b"[" * 100_000,
        b'["EVENT",{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        orjson.dumps(["EVENT", unsigned_event()])[:-2] + b',"x":' + b"[" * 100_000,
        orjson.dumps(["EVENT", unsigned_event()])[:-1] + b"," + b"[" * 100_000,
        b'["REQ","x",{"ids":' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
    ],
    ids=[
        "arrays",
        "objects",
        "in EVENT",
        "in tags",
        "in an unknown key",
        "in a further key",
        "behind an event",
        "in a filter",
    ],
)
def test_x_4_deep_nesting_is_refused(sent: bytes) -> None:
    assert refusal(sent)[-1].startswith("invalid: the message is not JSON")


def test_further_elements_after_an_event_are_ignored() -> None:
    assert isinstance(parse_message(frame("EVENT", unsigned_event(), "x"), LIMITS), EventMessage)


def test_a_req_carries_its_filters_in_order() -> None:
    message = parse_message(frame("REQ", "x", {"kinds": [1]}, {"limit": 3}), LIMITS)
    assert message == ReqMessage("x", (parse_filter({"kinds": [1]}, LIMITS), parse_filter({"limit": 3}, LIMITS)))


@pytest.mark.parametrize("name", ["a", '"', "\\", "😀" * 64, "x" * 64, " ", "\u0000", "null"])
def test_01_s01_any_characters_make_a_subscription_id(name: str) -> None:
    message = parse_message(frame("REQ", name, {}), LIMITS)
    assert isinstance(message, ReqMessage)
    assert message.subscription_id == name


@pytest.mark.parametrize("name", ["", "x" * 65, "😀" * 65])
def test_01_s01_an_empty_or_too_long_subscription_id_is_closed(name: str) -> None:
    answer = refusal(frame("REQ", name, {}))
    assert answer[:2] == ["CLOSED", name]
    assert answer[2].startswith("invalid: ")


@pytest.mark.parametrize("verb", ["REQ", "CLOSE"])
@pytest.mark.parametrize("rest", [[], [None, {}], [1, {}], [["x"], {}], [{}, {}], [True]])
def test_01_s02_a_subscription_id_that_is_no_text_gets_a_notice(verb: str, rest: list[object]) -> None:
    assert refusal(frame(verb, *rest))[0] == "NOTICE"


@pytest.mark.parametrize("filters", [[], [None], [[]], ["x"], [{}, 1]])
def test_01_s08_a_req_without_a_filter_or_with_what_is_none_is_closed(filters: list[object]) -> None:
    answer = refusal(frame("REQ", "x", *filters))
    assert answer[:2] == ["CLOSED", "x"]
    assert answer[2].startswith("invalid: ")


def test_01_f07_an_unknown_key_closes_as_unsupported() -> None:
    assert refusal(frame("REQ", "x", {}, {"search": "y"})) == [
        "CLOSED",
        "x",
        "unsupported: filter contains unknown elements",
    ]


def test_as_many_filters_as_allowed_are_accepted() -> None:
    message = parse_message(frame("REQ", "x", {}, {}, {}), LIMITS)
    assert isinstance(message, ReqMessage)
    assert len(message.filters) == 3


def test_one_filter_more_is_refused() -> None:
    assert refusal(frame("REQ", "x", {}, {}, {}, {})) == ["CLOSED", "x", "invalid: too many filters"]


def test_values_of_all_filters_count_against_one_bound() -> None:
    few = replace(LIMITS, max_filter_values=4)
    accepted = parse_message(frame("REQ", "x", {"kinds": [1, 2]}, {"#t": ["a", "b"], "limit": 1}), few)
    assert isinstance(accepted, ReqMessage)
    with pytest.raises(Refused) as refused:
        parse_message(frame("REQ", "x", {"kinds": [1, 2]}, {"#t": ["a", "b", "b"]}), few)
    assert json.loads(refused.value.reply) == ["CLOSED", "x", "invalid: at most 4 values in the lists of a REQ"]


def test_11_4_the_length_of_a_subscription_id_is_configurable() -> None:
    with pytest.raises(Refused):
        parse_message(frame("REQ", "abc", {}), replace(LIMITS, max_subid_length=2))


def test_01_s05_close_takes_any_text_for_an_id() -> None:
    assert parse_message(frame("CLOSE", "x" * 100), LIMITS) == CloseMessage("x" * 100)


@pytest.mark.parametrize(
    "beginning, event_id",
    [
        (f'["EVENT",{{"id":"{ID}","content":"xxx', ID),
        (f' [ "EVENT" , {{"tags":[["e","x"]],"content":"a\n","id" : "{ID}"', ID),
        (f'["EVENT",{{"content":"{{\\"id\\":\\"{ID}\\"', None),
        (f'["EVENT",{{"id":"{ID[:-1]}', None),
        (f'["EVENT",{{"id":"{ID.upper()}"', None),
        (f'["REQ","id",{{"ids":["{ID}"]', None),
        (f'["REQ","x",{{"id":"{ID}"', None),
        (f'["AUTH",{{"id":"{ID}"', ID),
        ("", None),
    ],
)
def test_01_e19_the_id_is_read_from_the_beginning_of_a_message(beginning: str, event_id: str | None) -> None:
    assert id_in(beginning.encode()) == event_id
