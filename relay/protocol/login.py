"""The login event of NIP-42 (kind 22242): which one proves a public key to this relay.

Rule: it proves a key only on the connection whose challenge it holds, and only if it names this relay, so that another
relay cannot use it here. Each tag is looked for by itself (42-2).
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from relay.protocol import kinds
from relay.protocol.errors import Invalid
from relay.protocol.event import Event
from relay.protocol.removal import MAX_URL_LENGTH, relays_of

MAX_AGE_SECONDS: Final = 600
"""A login may have been signed this long before or after now."""

MAX_RELAYS: Final = 100
"""Relays of one login that are looked at: clients name one, and reading 10,000 URLs took 60 ms."""

Place = tuple[str, str]
"""Host in lower case, and path without its last slash."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def place_of(url: str) -> Place | None:
    """The place that the URL of a relay names, None for what is no such URL.

    The scheme may be ws or wss, for TLS may end at a proxy, and the port may be any. User names, backslashes and white
    space are refused: parsers disagree on the host of such a URL.
    """
    if len(url) > MAX_URL_LENGTH or "\\" in url or " " in url or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
        _ = parts.port  # raises ValueError for what is no port
    except ValueError:
        return None
    if parts.scheme not in ("ws", "wss") or not host or "@" in parts.netloc or not parts.netloc.isascii():
        return None
    return host, parts.path.rstrip("/")


class OwnPlaces:
    """The places of this relay. A path counts only for a URL that has one: several relays may share that host."""

    __slots__ = ("_places",)

    def __init__(self, urls: Iterable[str]) -> None:
        """URLs that name no place are left out."""
        self._places = frozenset([place for url in urls if (place := place_of(url)) is not None])

    def has(self, url: str) -> bool:
        """True if the URL names this relay. Of loopback addresses each stands for all."""
        place = place_of(url)
        if place is None:
            return False
        host, path = place
        hosts = _LOOPBACK if host in _LOOPBACK else (host,)
        return any((name, own) in self._places for name in hosts for own in {"", path})


def check_login(event: Event, challenge: str, own: OwnPlaces, now: int) -> None:
    """Return if the event proves its pubkey on the connection with `challenge` at `now` (Unix seconds).

    Raises Invalid otherwise. The shape of the event must have been checked.
    """
    if event.kind != kinds.AUTH:
        raise Invalid(f"a login is an event of kind {kinds.AUTH}")
    if abs(now - event.created_at) > MAX_AGE_SECONDS:
        raise Invalid("created_at of the login is too far from now")
    if not any(tag[:2] == ["challenge", challenge] for tag in event.tags):
        raise Invalid("the login does not hold the challenge of this connection")
    named = relays_of(event.tags)
    if not any(map(own.has, named[:MAX_RELAYS])):
        if len(named) > MAX_RELAYS:
            raise Invalid(f"none of the first {MAX_RELAYS} relays of the login is this one")
        raise Invalid("the login is for another relay")
    if not event.has_valid_id():
        raise Invalid("the id is not the hash of the event")
    if not event.has_valid_signature():
        raise Invalid("the signature is not the author's")
