"""What an event asks to take away: deletions (NIP-09, kind 5) and requests to vanish (NIP-62, kind 62).

Rule: a malformed tag names nothing, and no tag names more than it says (09-6).
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from relay.protocol import kinds
from relay.protocol.event import Event, Tags
from relay.protocol.keys import is_hex_32

ALL_RELAYS: Final = "ALL_RELAYS"
"""The value of a `relay` tag that means every relay, in exactly these letters (62-1)."""

MAX_URL_LENGTH: Final = 2_048
"""Of a relay's URL. `urlsplit` keeps the last ones that it was given, however long they are."""

_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}

Place = tuple[str, int | None, str]
"""A relay's address in one form: host, port (None for the scheme's own), path without its last slash."""


class Targets(Struct, frozen=True, gc=False):
    """What a deletion names: event ids (hex), and addresses of its author as (kind, d). Each once."""

    ids: tuple[str, ...]
    addresses: tuple[tuple[int, str], ...]


def targets_of(event: Event) -> Targets:
    """The targets of a kind 5. Of addresses those of its author only (09-6); who may delete an id is asked when the
    event is known (09-11, 59-5).
    """
    ids: dict[str, None] = {}
    addresses: dict[tuple[int, str], None] = {}
    for tag in event.tags:
        if len(tag) < 2:
            continue
        if tag[0] == "e" and is_hex_32(tag[1]):
            ids[tag[1]] = None
        elif tag[0] == "a" and (address := _address(tag[1], event.pubkey)) is not None:
            addresses[address] = None
    return Targets(tuple(ids), tuple(addresses))


def _address(text: str, author: str) -> tuple[int, str] | None:
    """Kind and d of `kind:pubkey:d`, None unless it is an address of `author` (09-5, 09-6)."""
    kind_text, _, rest = text.partition(":")
    pubkey, colon, d = rest.partition(":")
    if pubkey != author or len(kind_text) > 5 or not (kind_text.isascii() and kind_text.isdigit()):
        return None
    kind = int(kind_text)
    if str(kind) != kind_text:
        return None
    if kinds.is_replaceable(kind):
        return None if d else (kind, "")
    return (kind, d) if colon and kinds.is_addressable(kind) else None


def place_of(url: str) -> Place | None:
    """The place that a relay's URL names, None for what is no URL of a relay: another scheme, a user name, a query."""
    if len(url) > MAX_URL_LENGTH:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not host or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    if "\\" in url or not url.isprintable() or " " in url:
        return None
    return host.lower(), None if port in (None, _DEFAULT_PORTS[scheme]) else port, parts.path.rstrip("/")


def places_of(urls: Iterable[str]) -> frozenset[Place]:
    """The places that URLs name; those that name none are left out."""
    return frozenset([place for url in urls if (place := place_of(url)) is not None])


def relays_of(tags: Tags) -> list[str]:
    """The values of the `relay` tags; an empty value is none."""
    return [tag[1] for tag in tags if len(tag) > 1 and tag[0] == "relay" and tag[1]]


def asks_to_vanish_here(event: Event, own: frozenset[Place]) -> bool:
    """True for a kind 62 that names this relay, whose places are `own`, or every relay (62-1).

    Reading 10,000 URLs took 60 ms, so only those are read that have one of our hosts in them.
    """
    if event.kind != kinds.VANISH:
        return False
    relays = relays_of(event.tags)
    if ALL_RELAYS in relays:
        return True
    hosts = {host for host, _, _ in own}
    maybe = {relay for host in hosts for relay in relays if host in relay.lower()}
    return any(place_of(relay) in own for relay in maybe)
