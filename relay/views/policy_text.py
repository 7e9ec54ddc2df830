"""Limits and NIPs in words, for the front page."""

from relay.protocol.limits import Limits
from relay.protocol.retention import KEEPS_ALL, Kept, Retention

NIP_NAMES = {
    1: "Basic protocol",
    9: "Deletion requests",
    11: "Relay information",
    13: "Proof of work",
    40: "Expiration",
    42: "Authentication",
    45: "Counting",
    50: "Search",
    62: "Request to vanish",
    70: "Protected events",
    77: "Negentropy sync",
}

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def policies(limits: Limits, retention: Retention = KEEPS_ALL) -> list[tuple[str, str]]:
    """The limits as (subject, text) pairs, the most asked for first."""
    oldest = f"up to {duration(limits.created_at_lower_limit)} old" if limits.created_at_lower_limit else "of any age"
    by_default = f", {limits.default_limit:,} unless you ask" if limits.default_limit < limits.max_limit else ""
    texts = [
        ("Reading", "open to everyone"),
        ("Writing", "open to everyone, without payment or proof of work"),
        ("Events", f"{oldest}, at most {duration(limits.created_at_upper_limit)} ahead of time"),
        ("Content", f"up to {limits.max_content_length:,} characters and {limits.max_event_tags:,} tags"),
        ("Messages", f"up to {size(limits.max_message_length)}"),
        ("Subscriptions", f"up to {limits.max_subscriptions:,} at once on a connection"),
        ("Queries", f"up to {limits.max_limit:,} events for each filter{by_default}"),
    ]
    if retention.kept:
        texts.append(("Kept", "; ".join([_kept(kept) for kept in retention.kept]) + "; all else for ever"))
    return texts


def _kept(kept: Kept) -> str:
    kinds = ", ".join([str(low) if low == high else f"{low}–{high}" for low, high in kept.kinds])
    return f"kind{'' if kinds.isdecimal() else 's'} {kinds} for {duration(kept.others or 0)}"


def nips(numbers: tuple[int, ...]) -> list[tuple[str, str]]:
    """Each NIP as (two digits, name); an unknown one has the name ""."""
    return [(f"{number:02}", NIP_NAMES.get(number, "")) for number in numbers]


def duration(seconds: int) -> str:
    """Seconds in the largest unit that divides them: 900 is "15 minutes"."""
    for unit, length in _UNITS:
        if seconds >= length and seconds % length == 0:
            count = seconds // length
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return "0 seconds"


def size(length: int) -> str:
    """Bytes in the largest binary unit that divides them: 524,288 is "512 KiB"."""
    for unit, bytes_each in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if length >= bytes_each and length % bytes_each == 0:
            return f"{length // bytes_each:,} {unit}"
    return f"{length:,} bytes"
