"""Peers as RELAY_PEERS describes them: `name=https://host?secret=…&lat=…&lon=…&relay=wss://…`. Needs no Django."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from relay.protocol.removal import place_of
from replication.wire import MIN_SECRET_LENGTH

NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
LOCATION_LIMITS = (90.0, 180.0)


@dataclass(frozen=True, slots=True)
class Described:
    """A peer of RELAY_PEERS. `location`: latitude and longitude in degrees."""

    name: str
    endpoint: str
    secret: str = field(default="", repr=False)
    location: tuple[float, float] | None = None
    relay_urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}={self.endpoint}"  # as the page of the settings shows it


def location_of(text: str) -> tuple[float, float]:
    """Latitude and longitude, such as `52.52,13.40`. Raises ValueError."""
    try:
        latitude, longitude = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"must be latitude and longitude in degrees, such as 52.52,13.40, not {text!r}") from None
    if not (abs(latitude) <= LOCATION_LIMITS[0] and abs(longitude) <= LOCATION_LIMITS[1]):
        raise ValueError(f"must be from -90,-180 to 90,180, not {text!r}")
    return latitude, longitude


def peer_of(text: str) -> Described:
    """One peer. Raises ValueError with the end of a sentence, which has no secret in it."""
    name, equals, url = text.partition("=")
    if not equals or not NAME.fullmatch(name):
        raise ValueError("must begin with a name of letters, digits, - and _, and an equals sign")
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc:
        raise ValueError(f"({name}) must be a URL like https://eu.relay.example.com, without a path")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    secret = options.pop("secret", "")
    latitude, longitude = options.pop("lat", None), options.pop("lon", None)
    relay_url = options.pop("relay", "")
    if options:
        raise ValueError(f"({name}) has the unknown option {min(options)}")
    if secret and len(secret) < MIN_SECRET_LENGTH:
        raise ValueError(f"({name}) has a secret that can be guessed: {MIN_SECRET_LENGTH} characters or more")
    if (latitude is None) != (longitude is None):
        raise ValueError(f"({name}) needs both lat and lon, or none")
    if relay_url and place_of(relay_url) is None:
        raise ValueError(f"({name}) has a relay that is no ws:// or wss:// URL")
    location = None if latitude is None else location_of(f"{latitude},{longitude}")
    return Described(name, f"{parts.scheme}://{parts.netloc}", secret, location, (relay_url,) if relay_url else ())
