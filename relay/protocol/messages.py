"""Frames of the protocol (NIP-01): parsing those of clients, encoding those of the relay.

Rule: `parse_message` returns a message or raises `Refused` with the whole answer. Each verb has one parser in one
table. EVENT frames are first tried with one typed decode; a frame that fails it is parsed like any other message.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Final, NoReturn

import msgspec
import orjson

from relay.protocol.errors import Invalid, RelayError, Unsupported
from relay.protocol.event import Event
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.protocol.shape import check_shape, event_from


class EventMessage(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="EVENT", forbid_unknown_fields=True):
    """`["EVENT", <event>]`: shape checked; id, signature and policies are not."""

    event: Event


class ReqMessage(msgspec.Struct, frozen=True, gc=False):
    """`["REQ", <subscription id>, <filter>, ...]` with at least one filter."""

    subscription_id: str
    filters: tuple[Filter, ...]


class CloseMessage(msgspec.Struct, frozen=True, gc=False):
    """`["CLOSE", <subscription id>]`; the id need not be open, or of a legal length."""

    subscription_id: str


class AuthMessage(msgspec.Struct, frozen=True, gc=False):
    """`["AUTH", <event>]`: shape checked, nothing else."""

    event: Event


Message = EventMessage | ReqMessage | CloseMessage | AuthMessage


class Refused(Exception):
    """A message that is not processed; `reply` is the frame to send back.

    `subscription_id`: the subscription that the reply ends, if it is open; None if it ends none. `is_unread_event`: it
    answers an EVENT that was not parsed.
    """

    def __init__(self, reply: bytes, subscription_id: str | None = None, is_unread_event: bool = False) -> None:
        super().__init__(reply)
        self.reply: Final = reply
        self.subscription_id: Final = subscription_id
        self.is_unread_event: Final = is_unread_event


END_BYTES = 4_096
"""Of a message that is refused without being parsed, so much is looked at, of its beginning and of its end."""

_EVENT = re.compile(rb'\s*\[\s*"(?:EVENT|AUTH)"\s*,\s*\{')
_ID = re.compile(rb'"id"\s*:\s*"([0-9a-f]{64})"')
# The quotes of a text inside a text are escaped: `"id"` with a colon is a key of the event.
_QUESTION = re.compile(rb'\s*\[\s*"(REQ|COUNT|NEG-OPEN|NEG-MSG)"\s*,\s*("(?:[^"\\]|\\.){0,256}")')

_decode_event_message = msgspec.json.Decoder(EventMessage).decode


def id_in(beginning: bytes, end: bytes = b"") -> str | None:
    """The event's id in the beginning of an EVENT or AUTH message, or in its end; None if it is in neither.

    Libraries differ: nostr-tools writes the id behind the content.
    """
    if _EVENT.match(beginning) is None:
        return None
    found = _ID.search(beginning) or _ID.search(end)
    return None if found is None else found[1].decode("ascii")


def refusal_of(frame: bytes, text: str) -> Refused:
    """The refusal of a message that was not parsed: the answer that its client waits for, else a NOTICE."""
    beginning = frame[:END_BYTES]
    event_id = id_in(beginning, frame[-END_BYTES:])
    if event_id is not None:
        return Refused(ok(event_id, False, text), is_unread_event=b'"EVENT"' in beginning[: beginning.index(b",")])
    found = _QUESTION.match(beginning)
    if found is not None:
        with suppress(orjson.JSONDecodeError):  # it is no text
            query_id = orjson.loads(found[2])
            answer = neg_error if found[1].decode() in _NEGENTROPY else closed
            return Refused(answer(query_id, text), query_id if found[1] == b"REQ" else None)
    return Refused(notice(text))


def parse_message(frame: bytes | str, limits: Limits) -> Message:
    """The message in one text frame. Raises Refused with an OK false, CLOSED or NOTICE frame."""
    if isinstance(frame, str):
        frame = _utf8(frame)
    if frame.startswith(b'["EVENT"'):
        try:
            message = _decode_event_message(frame)
        except (msgspec.MsgspecError, ValueError):
            pass  # unknown keys, or a fault that `_parse_any` describes
        else:
            try:
                check_shape(message.event, limits)
            except Invalid as fault:
                raise Refused(ok(message.event.id, False, fault.text)) from None
            return message
    return _parse_any(frame, limits)


def _utf8(frame: str) -> bytes:
    try:
        return frame.encode()
    except UnicodeEncodeError:
        _refuse("the message is not valid UTF-8")


def _refuse(problem: str) -> NoReturn:
    raise Refused(notice(Invalid(problem).text)) from None


def _parse_any(frame: bytes, limits: Limits) -> Message:
    try:
        parts = orjson.loads(frame)
    except orjson.JSONDecodeError as fault:
        # Other parsers read some of it: half of a surrogate pair, which JavaScript sends for a text cut in the middle.
        raise refusal_of(frame, Invalid(f"the message is not JSON: {fault.msg}").text) from None
    if not isinstance(parts, list) or not parts:
        _refuse("a message must be a JSON array that starts with its name")
    verb = parts[0]
    parse = _PARSERS.get(verb) if isinstance(verb, str) else None
    if parse is None:
        _refuse_verb(verb, parts[1] if len(parts) > 1 else None)
    return parse(parts, limits)


def _refuse_verb(verb: object, query_id: object) -> NoReturn:
    """Answer with the id that the client waits for; with a NOTICE if there is none."""
    known = f"this relay knows {', '.join(_PARSERS)}"
    if not isinstance(verb, str) or not isinstance(query_id, str) or verb in _WITHOUT_ANSWER:
        _refuse(f"unknown message: {known}")
    answer = neg_error if verb in _NEGENTROPY else closed
    raise Refused(answer(query_id, Unsupported(known).text))


def _subscription_id(parts: list[object]) -> str:
    if len(parts) < 2 or not isinstance(parts[1], str):
        _refuse("the subscription id must be a string")
    return parts[1]


def _event(parts: list[object], limits: Limits) -> EventMessage:
    return EventMessage(_event_of(parts, limits))


def _auth(parts: list[object], limits: Limits) -> AuthMessage:
    return AuthMessage(_event_of(parts, limits))


def _event_of(parts: list[object], limits: Limits) -> Event:
    # Elements after the event are ignored: a later NIP may define them.
    value = parts[1] if len(parts) > 1 else None
    try:
        return event_from(value, limits)
    except Invalid as fault:
        event_id = value.get("id") if isinstance(value, dict) else None
        if isinstance(event_id, str):  # 01-E16
            raise Refused(ok(event_id, False, fault.text)) from None
        raise Refused(notice(fault.text)) from None


def _req(parts: list[object], limits: Limits) -> ReqMessage:
    subscription_id, filters = _subscription_id(parts), parts[2:]
    try:
        if not 0 < len(subscription_id) <= limits.max_subid_length:
            raise Invalid(f"a subscription id has 1 to {limits.max_subid_length} characters")
        if not filters:
            raise Invalid("a REQ needs a filter")
        if len(filters) > limits.max_filters:
            raise Invalid("too many filters")
        if _number_of_values(filters) > limits.max_filter_values:
            raise Invalid(f"at most {limits.max_filter_values} values in the lists of a REQ")
        return ReqMessage(subscription_id, tuple([parse_filter(value, limits) for value in filters]))
    except RelayError as fault:
        raise Refused(closed(subscription_id, fault.text), subscription_id) from None


def _number_of_values(filters: list[object]) -> int:
    """Values in the lists of decoded filters, counted before one of them is looked at: 58,000 took 16 ms."""
    total = 0
    for flt in filters:
        if isinstance(flt, dict):
            for given in flt.values():
                if isinstance(given, list):
                    total += len(given)
    return total


def _close(parts: list[object], limits: Limits) -> CloseMessage:
    return CloseMessage(_subscription_id(parts))


_PARSERS: Mapping[str, Callable[[list[object], Limits], Message]] = {
    "EVENT": _event,
    "REQ": _req,
    "CLOSE": _close,
    "AUTH": _auth,
}

_NEGENTROPY = frozenset({"NEG-OPEN", "NEG-MSG"})
"""Refused with NEG-ERR (NIP-77), every other verb with CLOSED."""

_WITHOUT_ANSWER = frozenset({"NEG-CLOSE"})
"""Verbs that have no answer."""


def ok(event_id: str, accepted: bool, text: str = "") -> bytes:
    """`["OK", id, accepted, text]`; an empty text only when accepted (01-E01)."""
    return orjson.dumps(("OK", event_id, accepted, text))


class End(Enum):
    """What EOSE says of the stored events (NIP-67): every match was sent, or more are known; or nothing."""

    FINISH = ("finish",)
    MORE = ("more",)
    UNKNOWN = ()


_AFTER_EOSE = {End.FINISH: b',["finish"]]', End.MORE: b',["more"]]', End.UNKNOWN: b"]"}


def eose(subscription_id: str, end: End = End.UNKNOWN) -> bytes:
    """`["EOSE", id, ["finish"]]`: all that is to be sent of the stored events was sent (67-1)."""
    return b'["EOSE",' + orjson.dumps(subscription_id) + _AFTER_EOSE[end]


def closed(subscription_id: str, text: str) -> bytes:
    """`["CLOSED", id, text]`: the relay ended or refused the subscription; text is `<prefix>: ...`."""
    return orjson.dumps(("CLOSED", subscription_id, text))


def neg_error(subscription_id: str, text: str) -> bytes:
    """`["NEG-ERR", id, text]`: the relay refused or ended a reconciliation (NIP-77)."""
    return orjson.dumps(("NEG-ERR", subscription_id, text))


def auth(challenge: str) -> bytes:
    """`["AUTH", challenge]`: what a login must hold (NIP-42)."""
    return orjson.dumps(("AUTH", challenge))


def notice(text: str) -> bytes:
    """`["NOTICE", text]`: for a person, when the answer has no id."""
    return orjson.dumps(("NOTICE", text))


def event_head(subscription_id: str) -> bytes:
    """`["EVENT","id",`: a frame is this head, the stored JSON and `]`. Made once for each subscription."""
    return b'["EVENT",' + orjson.dumps(subscription_id) + b","
