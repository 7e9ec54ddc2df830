"""The URL of a Redis-compatible service: one server, a Sentinel's master, or a Cluster.

    redis://[user:password@]host[:port][/db]              also valkey://, rediss:// and valkeys:// (TLS)
    unix://[user:password@]/path/to.socket[?db=0]
    redis+sentinel://[user:password@]h1:p1,h2:p2[/db]?service=NAME[&sentinel_username=…&sentinel_password=…]
    redis+sentinel://[user:password@]h1:p1,h2:p2/NAME[/db]
    redis+cluster://[user:password@]h1:p1,h2:p2,…

`sentinel://` is short for `redis+sentinel://`. User and password are those of the data servers. With TLS, of Sentinels
too, `?ssl_ca_certs=FILE` names the authority, `ssl_certfile` and `ssl_keyfile` a certificate of our own;
`ssl_cert_reqs=none` turns verification off.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

PORT = 6379
SENTINEL_PORT = 26379
SCHEMES = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")
VERIFICATIONS = ("required", "optional", "none")
BETWEEN_URLS = re.compile(r"\s*,\s*(?=[a-z+]+://)")


class Topology(StrEnum):
    """How the servers belong together."""

    ONE = "one"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host and port of a server; port 0 means the Unix socket at the path `host`."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL. `endpoints`: the server, the Sentinels, or some servers of the Cluster."""

    topology: Topology
    endpoints: tuple[Endpoint, ...]
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    master_name: str = ""
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None
    tls_options: tuple[tuple[str, str], ...] = ()

    def server_url(self, endpoint: Endpoint) -> str:
        """The URL of one of the data servers, with login and database, as redis-py and kombu take it."""
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if self.password else ""
        options = dict(self.tls_options)
        if not endpoint.port:
            options["db"] = str(self.database)
        scheme, path = ("rediss" if self.tls else "redis", f"/{self.database}") if endpoint.port else ("unix", "")
        place = str(endpoint) if endpoint.port else quote(endpoint.host)
        return f"{scheme}://{login}{place}{path}{'?' if options else ''}{urlencode(options)}"

    def greeting(self) -> list[tuple[bytes | int | str, ...]]:
        """The commands after connecting to a data server: AUTH and SELECT as needed."""
        commands = _login(self.username, self.password)
        if self.database:
            commands.append((b"SELECT", self.database))
        return commands

    def sentinel_greeting(self) -> list[tuple[bytes | int | str, ...]]:
        """The commands after connecting to a Sentinel."""
        return _login(self.sentinel_username, self.sentinel_password)


def _login(username: str, password: str) -> list[tuple[bytes | int | str, ...]]:
    if not password:
        return []
    return [(b"AUTH", username, password)] if username else [(b"AUTH", password)]


def split(urls: str) -> tuple[str, ...]:
    """The URLs of a list that is separated by commas, as hosts within a URL are."""
    return tuple(filter(None, BETWEEN_URLS.split(urls.strip().strip(","))))


def parse(url: str) -> Address:
    """Parse a URL. Raises ValueError that says what is wrong with it and shows no password."""
    try:
        parts = urlsplit(url)
    except ValueError:  # whose text may show a part of the password
        raise ValueError("it is no URL; in a password, [ and ] are written as %5B and %5D") from None
    scheme = "redis+sentinel" if parts.scheme == "sentinel" else parts.scheme
    base, _, kind = scheme.partition("+")
    options = dict(parse_qsl(parts.query))
    if scheme != "unix" and "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("in a password, / ? # and @ are written as %2F %3F %23 and %40")
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = (unquote(word) for word in credentials.partition(":"))
    username, password = options.get("username", username), options.get("password", password)
    if scheme == "unix":
        endpoint = Endpoint(unquote(parts.path), 0)
        if not endpoint.host:
            raise ValueError("a unix:// address needs the path of a socket")
        return Address(Topology.ONE, (endpoint,), username, password, _number(options.get("db", "0")))
    if base not in SCHEMES or kind not in {"", "sentinel", "cluster"}:
        raise ValueError(f"{scheme or 'nothing'}:// is no address of Valkey or Redis")
    topology = Topology(kind or "one")
    port = SENTINEL_PORT if topology is Topology.SENTINEL else PORT
    endpoints = tuple(_endpoint(host, port) for host in hosts.split(",") if host)
    if not endpoints or (topology is Topology.ONE and len(endpoints) > 1):
        raise ValueError(
            "the address names no server"
            if not endpoints
            else "several servers are redis+sentinel:// or redis+cluster://"
        )
    master, database = _path(topology, parts.path.strip("/"), options)
    return Address(
        topology, endpoints, username, password, database, master,
        options.get("sentinel_username", ""), options.get("sentinel_password", ""),
        _tls(options) if SCHEMES[base] else None,
        tuple((name, options[name]) for name in TLS_OPTIONS if SCHEMES[base] and name in options),
    )  # fmt: skip


def _path(topology: Topology, path: str, options: Mapping[str, str]) -> tuple[str, int]:
    """The name of the master and the number of the database."""
    if topology is Topology.SENTINEL:
        if service := options.get("service", ""):
            return service, _number(path or options.get("db", "0"))
        master, _, number = path.partition("/")
        if not master or master.isdecimal():
            raise ValueError(
                "a Sentinel address needs the name of the master: redis+sentinel://host:26379/0?service=NAME"
            )
        return unquote(master), _number(number or options.get("db", "0"))
    database = _number(path or options.get("db", "0"))
    if topology is Topology.CLUSTER and database:
        raise ValueError("a Cluster has database 0 only")
    return "", database


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"the number of a database is a whole number, not {text!r}")
    return int(text)


def _endpoint(text: str, port: int) -> Endpoint:
    host, colon, number = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, number = text, str(port)
    if not number.isdecimal() or not 0 < int(number) < 65536 or not host:
        raise ValueError(f"{text!r} is no host and port")
    return Endpoint(host.strip("[]"), int(number))


def _tls(options: Mapping[str, str]) -> ssl.SSLContext:
    """Raises ValueError if a file cannot be read, or for another way to verify than there are."""
    if options.get("ssl_cert_reqs", "required") not in VERIFICATIONS:
        raise ValueError(f"ssl_cert_reqs is {' or '.join(VERIFICATIONS)}")
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:
        raise ValueError(f"a file of its TLS options cannot be used: {error}") from None
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
