"""Parses environment variables into typed values.

An invalid value does not raise, because settings must load for `manage.py check` to report every fault at once: it is
appended to `faults`, gives the default, and is reported as relay.E001.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.protocol.rates import Rate
    from replication.described import Described

MOST_WEIGHT = 100
SECRET_CHARACTERS = 32
SECRET_DIFFERENT = 5  # as Django's security.W009
RESEMBLANCE = 0.85  # RELAY_MAX_LIMITS and RELAY_MAX_LIMIT: 0.97; RELAY_SERVICE_PORT and RELAY_PORT: 0.71
INTERNAL = frozenset(
    {
        *("RELAY_SUPERVISED", "RELAY_HEARTBEAT_FD", "RELAY_ACK_TABLE", "RELAY_WORKER", "RELAY_PROCESS"),
        *("RELAY_LISTENERS", "RELAY_HANDOVER"),
    }
)
"""What the supervisor tells its children."""
HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")


@dataclass(frozen=True, slots=True)
class Fault:
    """An invalid variable: `problem` continues a sentence that begins with `name`."""

    name: str
    problem: str


faults: list[Fault] = []

defaults: dict[str, object] = {}
"""Every variable that the settings read, in their order, with its default (for the page of the settings)."""


def text(name: str, default: str = "") -> str:
    """The variable's text; `default` when it is unset or empty."""
    defaults.setdefault(name, default)
    return os.environ.get(name, "").strip() or default


def integer(name: str, default: int, *, low: int = 0, high: int = 2**63 - 1) -> int:
    """An integer from `low` to `high`."""
    defaults.setdefault(name, default)
    raw = text(name)
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        faults.append(Fault(name, f"must be a whole number, not {raw!r}"))
        return default
    if not low <= value <= high:
        faults.append(Fault(name, f"must be from {low} to {high}, not {value}"))
        return default
    return value


def seconds(name: str, default: float, *, low: float = 0.0, high: float = 86_400.0) -> float:
    """A duration in seconds from `low` to `high`, fractions allowed."""
    defaults.setdefault(name, default)
    raw = text(name)
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        faults.append(Fault(name, f"must be a number of seconds, not {raw!r}"))
        return default
    if not low <= value <= high:
        faults.append(Fault(name, f"must be from {low:g} to {high:g} seconds, not {raw}"))
        return default
    return value


def flag(name: str, default: bool) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off."""
    defaults.setdefault(name, default)
    raw = text(name).lower()
    if not raw:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    faults.append(Fault(name, f"must be true or false, not {raw!r}"))
    return default


def words(name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A list separated by commas; empty entries are dropped."""
    defaults.setdefault(name, default)
    raw = text(name)
    return tuple(word.strip() for word in raw.split(",") if word.strip()) if raw else default


def rate(name: str, default: str) -> "Rate":
    """A rate limit (relay.protocol.rates): `<a second>:<at once>`, or 0 for none."""
    from relay.protocol.rates import parse_rate

    raw = text(name, default)
    try:
        return parse_rate(raw)
    except ValueError:
        faults.append(Fault(name, f"must be a rate such as {default}, tokens a second and at once, or 0, not {raw!r}"))
        return parse_rate(default)


def rates_of_kinds(name: str) -> tuple[str, ...]:
    """Rate limits of kinds of events, such as `1984=1:60,7=20:400`, as parse_rates_of_kinds takes them."""
    from relay.protocol.rates import parse_rates_of_kinds

    found = words(name)
    try:
        parse_rates_of_kinds(found)
    except ValueError:
        faults.append(Fault(name, f"must list rates of kinds such as 1984=1:60,7=20:400, not {text(name)!r}"))
        return ()
    return found


def retention(name: str) -> tuple[str, ...]:
    """Rules of retention (relay.protocol.retention), separated by semicolons."""
    from relay.protocol.retention import NotARule, parse_rules

    found = tuple(rule.strip() for rule in text(name).split(";") if rule.strip())
    try:
        parse_rules(found)
    except NotARule as error:
        faults.append(Fault(name, f"must list rules such as `* 365d; 7 others 30d`: {error}"))
        return ()
    return found


def kinds(name: str) -> tuple[int, ...] | None:
    """Event kinds, separated by commas; none when it is unset, None for `all`."""
    raw = words(name)
    if raw == ("all",):
        return None
    wrong = [word for word in raw if not _is_kind(word)]
    if wrong:
        faults.append(Fault(name, f"must be all, or event kinds such as 4,1059, not {', '.join(wrong)}"))
        return ()
    return tuple(map(int, raw))


def bits_by_kind(name: str) -> tuple[tuple[int, int], ...]:
    """Pairs such as 1059=20,7=0: a difficulty of 0 to 256 bits for an event kind."""
    pairs = [word.partition("=") for word in words(name)]
    wrong = [kind + equals + bits for kind, equals, bits in pairs if not (_is_kind(kind) and _is_kind(bits, 256))]
    if wrong:
        faults.append(Fault(name, f"must be pairs of a kind and bits, such as 1059=20, not {', '.join(wrong)}"))
        return ()
    return tuple((int(kind), int(bits)) for kind, _, bits in pairs)


def _is_kind(word: str, most: int = 65_535) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 6 and int(word) <= most


def folder(name: str, default: Path) -> Path:
    """An absolute path; a relative one starts at the working directory."""
    defaults.setdefault(name, default)
    return Path(text(name, str(default))).expanduser().absolute()


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of `allowed`."""
    defaults.setdefault(name, default)
    value = text(name, default)
    if value not in allowed:
        faults.append(Fault(name, f"must be one of {', '.join(allowed)}, not {value!r}"))
        return default
    return value


def public_key(name: str) -> str:
    """A public key as 64 hex digits; an npub (NIP-19) is converted. Another text is left to validation.py."""
    from relay.protocol.nip19 import NotAName, decode

    value = text(name)
    if value.startswith("npub1"):
        try:
            return decode(value).author or value
        except NotAName:
            return value
    return value


def secret(name: str) -> str:
    """A key that cannot be guessed: 32 characters or more, not all alike. "" when unset."""
    value = text(name)
    if value and (len(value) < SECRET_CHARACTERS or len(set(value)) < SECRET_DIFFERENT):
        faults.append(
            Fault(name, f"can be guessed: it must have {SECRET_CHARACTERS} random characters or more, better 50")
        )
    return value


def uri(name: str) -> str:
    """A URI (RFC 3986): a scheme, a colon and no spaces."""
    value = text(name)
    if value and not URI.fullmatch(value):
        faults.append(Fault(name, f"must be a URI, such as mailto:operator@example.com, not {value!r}"))
        return ""
    return value


def replicas(name: str) -> tuple["Replica", ...]:
    """URLs of PostgreSQL servers, separated by commas, each with the query options `weight` and `zone`."""
    found = []
    for number, word in enumerate(words(name), 1):
        try:
            found.append(_replica(f"replica_{number}", word))
        except ValueError as error:
            # Not the URL itself, which has a password.
            faults.append(Fault(name, f"must list URLs that start with postgresql://, and number {number} {error}"))
            return ()
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Replica:
    """A read replica: `alias` in DATABASES, `url` without the options, `weight` of 1 to 100, `zone`."""

    alias: str
    url: str
    weight: int
    zone: str

    def __str__(self) -> str:
        return self.url  # whose login the page of the settings hides


def _replica(alias: str, url: str) -> Replica:
    """Raises ValueError with the end of a sentence about the URL."""
    from urllib.parse import parse_qsl, urlencode, urlsplit

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


def location(name: str) -> tuple[float, float] | None:
    """Latitude and longitude in degrees, such as 52.52,13.40; None when it is unset."""
    from replication.described import location_of

    raw = text(name)
    try:
        return location_of(raw) if raw else None
    except ValueError as error:
        faults.append(Fault(name, str(error)))
        return None


def peers(name: str, own: str) -> tuple["Described", ...]:
    """Peer regions, separated by commas (replication.described); `own` is the name of this region, which is none."""
    from replication.described import peer_of

    found = []
    for number, word in enumerate(words(name), 1):
        try:
            found.append(peer_of(word))
        except ValueError as error:  # not the text itself, which has a secret
            faults.append(Fault(name, f"must list peers such as eu=https://eu.example.com; number {number} {error}"))
            return ()
    named = [own, *(peer.name for peer in found)]
    twice = next((word for word in named if named.count(word) > 1), "")
    if twice:
        faults.append(Fault(name, f"must list each of the other regions once, not {twice!r} again"))
        return ()
    return tuple(found)


def region(name: str) -> str:
    """The name of a region: letters, digits, - and _; "" when it is unset."""
    from replication.described import NAME

    value = text(name)
    if value and not NAME.fullmatch(value):
        faults.append(Fault(name, f"must be at most 40 letters, digits, - and _, not {value!r}"))
        return ""
    return value


def redis_address(name: str, default: str) -> str:
    """The URL of a Redis-compatible service (relay.redis_url): one server, Sentinel or Cluster."""
    found = redis_addresses(name, default)
    if len(found) > 1:
        faults.append(
            Fault(name, "must be one URL: only BUS_URL may list several servers that know nothing of each other")
        )
        return default
    return found[0] if found else ""


def redis_addresses(name: str, default: str) -> tuple[str, ...]:
    """URLs of Redis-compatible services, separated by commas."""
    defaults.setdefault(name, default)
    from relay.redis_url import parse, split

    found = split(text(name, default))
    for number, url in enumerate(found, 1):
        try:
            parse(url)
        except ValueError as error:
            # Not the URL itself, which may have a password.
            which = f"URL {number} of it: " if len(found) > 1 else ""
            faults.append(Fault(name, f"cannot be used: {which}{error}"))
            return split(default)
    return found


def misspelt(prefix: str = "RELAY_") -> Iterator[tuple[str, str]]:
    """Variables that begin with `prefix` and nothing reads: the name, and the known one that it resembles or ""."""
    for name in sorted(os.environ):
        if name.startswith(prefix) and name not in defaults and name not in INTERNAL:
            yield name, next(iter(get_close_matches(name, defaults, n=1, cutoff=RESEMBLANCE)), "")


def host_and_port(host: str, port: int) -> str:
    """The authority of a URL: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def database_address(name: str, default: str) -> str:
    """A URL of PostgreSQL, perhaps of several hosts (`postgresql://user@a:5432,b:5432/name`), as all that read it take
    it: several hosts as parameters, because URL parsers know one.
    """
    defaults.setdefault(name, default)
    from urllib.parse import quote, urlsplit, urlunsplit

    try:
        parts = urlsplit(text(name, default))
    except ValueError:
        return web_address(name, default, ("postgresql", "postgres"))  # which says so, and shows no password
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return web_address(name, default, ("postgresql", "postgres"))
    pairs = [HOST_AND_PORT.fullmatch(host) for host in hosts.split(",")]
    if parts.scheme not in {"postgresql", "postgres"} or None in pairs:
        faults.append(Fault(name, "must be a URL such as postgresql://user:password@host-a:5432,host-b:5432/name"))
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


def web_address(name: str, default: str, schemes: tuple[str, ...]) -> str:
    """A URL with one of `schemes` and a host."""
    defaults.setdefault(name, default)
    from urllib.parse import urlsplit

    value = text(name, default)
    if not value:
        return value
    try:
        parts = urlsplit(value)
        right = parts.scheme in schemes and bool(parts.netloc or parts.path.strip("/")) and parts.port != 0
    except ValueError:  # an invalid IPv6 address or port
        right = False
    if not right:
        faults.append(Fault(name, f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}"))
        return default
    return value
