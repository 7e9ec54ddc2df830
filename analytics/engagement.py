"""Reads engagements, hashtags and reports from an event's tags. Pure; popularity.py defines what counts.

Malformed tags are ignored.
"""

from typing import Final

import msgspec

from analytics import popularity
from relay.protocol.event import Event
from relay.protocol.keys import is_hex_32

REACTED: Final = "+"
REPOSTED: Final = "r"
ANSWERED: Final = "a"
ZAPPED: Final = "z"

MAX_HASHTAGS: Final = 20
"""Per event; further ones are ignored."""

MAX_HASHTAG_LENGTH: Final = 64
ZAP_REQUEST: Final = 9734
REASONS: Final = frozenset({"nudity", "malware", "profanity", "illegal", "spam", "impersonation", "other"})
"""NIP-56. Any other text counts as `other`, because its values are unbounded."""

TARGETS: Final = {"p": "pubkey", "e": "event", "x": "blob"}

_MAX_REPORTED: Final = 50

Tags = list[list[str]]


class Text(msgspec.Struct, gc=False):
    """The fields that are decoded of an event's JSON."""

    tags: Tags
    content: str = ""


class Engagement(msgspec.Struct, frozen=True):
    """`actor` (pubkey) did `what` (REACTED, ...) to the event `target`; both hex."""

    what: str
    target: str
    actor: str


class Report(msgspec.Struct, frozen=True):
    """One target of a report: `pubkey`, `event` or `blob`, its 64 hex digits, and a NIP-56 reason."""

    target_type: str
    target: str
    reason: str


_decode = msgspec.json.Decoder(Text).decode


def read(text: str) -> Text | None:
    """Decode an event's stored JSON; None if it cannot be decoded."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return None


def engagement_of(kind: int, pubkey: str, text: Text) -> Engagement | None:
    """The event's engagement with another one, or None."""
    if kind == popularity.REACTION:
        target = None if text.content == "-" else _last_e(text.tags)
        return Engagement(REACTED, target, pubkey) if target else None
    if kind in popularity.REPOSTS:
        target = _last_e(text.tags)
        return Engagement(REPOSTED, target, pubkey) if target else None
    if kind == popularity.NOTE:
        target = answered(text.tags)
        return Engagement(ANSWERED, target, pubkey) if target else None
    if kind == popularity.ZAP:
        target = _last_e(text.tags)
        actor = zapper(text.tags, target) if target else None
        return Engagement(ZAPPED, target, actor) if actor and target else None
    return None


def answered(tags: Tags) -> str | None:
    """The id of the note that a note replies to (NIP-10): marked `reply`, else `root`, else the last unmarked e tag."""
    marked = {"reply": "", "root": "", "": ""}
    for tag in tags:
        if _is_id(tag, "e"):
            marker = tag[3] if len(tag) > 3 else ""
            marked[marker if marker in ("reply", "root", "mention") else ""] = tag[1]
    return marked["reply"] or marked["root"] or marked[""] or None


def zapper(tags: Tags, target: str) -> str | None:
    """The pubkey that zapped `target`: the author of the receipt's zap request (NIP-57), if that is valid."""
    for tag in tags:
        if len(tag) > 1 and tag[0] == "description":
            return _author_of_request(tag[1], target)
    return None


def hashtags(kind: int, tags: Tags) -> list[str]:
    """The distinct hashtags of an event: lower case, without #, sorted; none for kinds whose hashtags do not count."""
    if kind != popularity.NOTE and kind not in popularity.TAGGED_KINDS:
        return []
    found: set[str] = set()
    for tag in tags:
        if len(tag) > 1 and tag[0] == "t" and len(found) < MAX_HASHTAGS:
            word = tag[1].removeprefix("#").casefold()
            # No spaces: the hashtags of an event are passed to SQL as one text.
            if 0 < len(word) <= MAX_HASHTAG_LENGTH and word.isprintable() and " " not in word:
                found.add(word)
    return sorted(found)


def reports(tags: Tags) -> list[Report]:
    """The distinct targets of a report (NIP-56). A tag without a reason takes that of another tag."""
    given = [(tag[0], tag[1], tag[2] if len(tag) > 2 else "") for tag in tags if tag and _is_id(tag, *TARGETS)]
    common = next((reason for _, _, reason in given if reason in REASONS), "other")
    found = {
        (TARGETS[name], target): reason if reason in REASONS else common
        for name, target, reason in given[:_MAX_REPORTED]
    }
    return [Report(target_type, target, reason) for (target_type, target), reason in found.items()]


def _last_e(tags: Tags) -> str | None:
    return next((tag[1] for tag in reversed(tags) if _is_id(tag, "e")), None)


def _is_id(tag: list[str], *names: str) -> bool:
    return len(tag) > 1 and tag[0] in names and is_hex_32(tag[1])


def _author_of_request(text: str, target: str) -> str | None:
    try:
        request = msgspec.json.decode(text, type=Event)
    except (msgspec.DecodeError, UnicodeError):
        return None
    is_sound = (
        request.kind == ZAP_REQUEST
        and _last_e(request.tags) == target
        and request.has_valid_id()
        and request.has_valid_signature()
    )
    return request.pubkey if is_sound else None
