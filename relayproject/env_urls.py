"""Parses environment variables that hold URLs: of the web, of PostgreSQL and of Redis-compatible services (env.py)."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from relay.redis_url import parse, split
from relayproject import env

MOST_WEIGHT = 100
HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")


def host_and_port(host: str, port: int) -> str:
    """The authority of a URL: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def uri(name: str) -> str:
    """A URI (RFC 3986): a scheme, a colon and no spaces."""
    return env.matching(name, URI, "a URI, such as mailto:operator@example.com")


def web_address(name: str, default: str, schemes: tuple[str, ...]) -> str:
    """A URL with one of `schemes` and a host."""
    env.defaults.setdefault(name, default)
    value = env.text(name, default)
    if not value:
        return value
    try:
        parts = urlsplit(value)
        right = parts.scheme in schemes and bool(parts.netloc or parts.path.strip("/")) and parts.port != 0
    except ValueError:  # an invalid IPv6 address or port
        right = False
    if not right:
        env.fault(name, f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return default
    return value


def database_address(name: str, default: str) -> str:
    """A URL of PostgreSQL. Several hosts (`postgresql://user@a:5432,b:5432/name`) become the parameters `host` and
    `port`, because the parsers of URLs take one host alone.
    """
    env.defaults.setdefault(name, default)
    try:
        parts = urlsplit(env.text(name, default))
    except ValueError:
        return web_address(name, default, ("postgresql", "postgres"))  # which says so, and shows no password
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return web_address(name, default, ("postgresql", "postgres"))
    pairs = [HOST_AND_PORT.fullmatch(host) for host in hosts.split(",")]
    if parts.scheme not in {"postgresql", "postgres"} or None in pairs:
        env.fault(name, "must be a URL such as postgresql://user:password@host-a:5432,host-b:5432/name")
        return default
    found = [(pair[1].strip("[]"), pair[2] or "5432") for pair in pairs if pair is not None]
    query = "&".join(
        [
            f"host={quote(','.join(host for host, _ in found), safe=',:')}",
            f"port={','.join(port for _, port in found)}",
            *([parts.query] if parts.query else []),
        ]
    )
    return urlunsplit((parts.scheme, user + at, parts.path, query, ""))


def redis_address(name: str, default: str) -> str:
    """The URL of a Redis-compatible service (relay.redis_url): one server, Sentinel or Cluster."""
    found = redis_addresses(name, default)
    if len(found) > 1:
        env.fault(name, "must be one URL: only BUS_URL may list several servers that know nothing of each other")
        return default
    return found[0] if found else ""


def redis_addresses(name: str, default: str) -> tuple[str, ...]:
    """URLs of Redis-compatible services, separated by commas."""
    env.defaults.setdefault(name, default)
    found = split(env.text(name, default))
    for number, url in enumerate(found, 1):
        try:
            parse(url)
        except ValueError as error:
            # Not the URL itself, which may have a password.
            which = f"URL {number} of it: " if len(found) > 1 else ""
            env.fault(name, f"cannot be used: {which}{error}")
            return split(default)
    return found


@dataclass(frozen=True, slots=True)
class Replica:
    """A read replica: `alias` in DATABASES, `url` without the options, `weight` of 1 to 100, `zone`."""

    alias: str
    url: str
    weight: int
    zone: str

    def __str__(self) -> str:
        return self.url  # whose login the page of the settings hides


def replicas(name: str) -> tuple[Replica, ...]:
    """URLs of PostgreSQL servers, separated by commas, each with the query options `weight` and `zone`."""
    found = []
    for number, word in enumerate(env.words(name), 1):
        try:
            found.append(_replica(f"replica_{number}", word))
        except ValueError as error:
            # Not the URL itself, which has a password.
            env.fault(name, f"must list URLs that start with postgresql://, and number {number} {error}")
            return ()
    return tuple(found)


def _replica(alias: str, url: str) -> Replica:
    """Raises ValueError with the end of a sentence about the URL."""
    try:
        parts = urlsplit(url)
    except ValueError:  # whose text may show a part of the password
        raise ValueError("is no URL") from None
    if parts.scheme not in {"postgresql", "postgres"} or not (parts.netloc or parts.path.strip("/")):
        raise ValueError("does not")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    weight, zone = options.pop("weight", "1"), options.pop("zone", "")
    if not (weight.isascii() and weight.isdigit() and 1 <= int(weight) <= MOST_WEIGHT):
        raise ValueError(f"has a weight of {weight!r}: it must be from 1 to {MOST_WEIGHT}")
    return Replica(alias, parts._replace(query=urlencode(options)).geturl(), int(weight), zone)
