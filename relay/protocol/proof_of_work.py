"""Proof of work (NIP-13): the difficulty of an event, and what it committed to."""

from relay.protocol.errors import Pow
from relay.protocol.event import Event


def difficulty(event_id: str) -> int:
    """The leading zero bits of an id of 64 hex digits, 0 to 256 (13-1)."""
    return 256 - int(event_id, 16).bit_length()


def target(event: Event) -> int | None:
    """The difficulty that the first `nonce` tag commits to, None without a number there."""
    for tag in event.tags:
        if tag and tag[0] == "nonce":
            text = tag[2] if len(tag) > 2 else ""
            return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else None
    return None


def lacks_work(event: Event, least: int) -> Pow | None:
    """The refusal of an event with less than `least` bits, or whose author aimed lower and was lucky (13-2).

    The id is believed: check it afterwards.
    """
    found = difficulty(event.id)
    if found < least:
        return Pow(f"difficulty {found} is less than {least}")
    aimed = target(event)
    if aimed is not None and aimed < least:
        return Pow(f"the nonce tag commits to difficulty {aimed}, which is less than {least}")
    return None
