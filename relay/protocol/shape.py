"""The checks of an event before anything costly: types, hex, lengths, expiration.

Rule: every way in (messages, import, peers) uses them, so an accepted event always has this shape (X-2).
"""

import msgspec
import orjson

from relay.protocol.errors import Invalid
from relay.protocol.event import Event, expiration
from relay.protocol.keys import is_hex, is_hex_32
from relay.protocol.limits import Limits

_FIELDS = Event.__struct_fields__


def check_shape(event: Event, limits: Limits) -> None:
    """Raises Invalid for malformed hex (01-E08), too many tags, too long content, and by 40-4."""
    # One check of the three texts together: a call for each would double the cost.
    if not (len(event.id) == 64 == len(event.pubkey) and len(event.sig) == 128) or not is_hex(
        event.id + event.pubkey + event.sig
    ):
        raise Invalid(_hex_fault(event))
    if len(event.tags) > limits.max_event_tags:
        raise Invalid(f"an event may have up to {limits.max_event_tags} tags")
    if len(event.content) > limits.max_content_length:
        raise Invalid(f"content may have up to {limits.max_content_length} characters")
    expiration(event.tags)


def _hex_fault(event: Event) -> str:
    if not is_hex_32(event.id):
        return "id must be 64 lower-case hex digits"
    if not is_hex_32(event.pubkey):
        return "pubkey must be 64 lower-case hex digits"
    return "sig must be 128 lower-case hex digits"


def event_from(value: object, limits: Limits) -> Event:
    """The event in a decoded JSON value; unknown keys are dropped (01-E14). Raises Invalid with the reason."""
    if not isinstance(value, dict):
        raise Invalid("an event must be a JSON object")
    try:
        event = msgspec.convert({name: value[name] for name in _FIELDS if name in value}, Event)
    except msgspec.ValidationError as fault:
        raise Invalid(str(fault)) from None
    check_shape(event, limits)
    return event


def decode_event(text: bytes, limits: Limits) -> Event:
    """The event in a JSON text, such as a line of an import. Raises Invalid with the reason."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as fault:
        raise Invalid(f"not JSON: {fault.msg}") from None
    return event_from(value, limits)
