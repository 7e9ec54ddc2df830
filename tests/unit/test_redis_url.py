"""One URL says where a Redis-compatible service is."""

import pytest

from relay.redis_url import Endpoint, Topology, parse, split


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_one_server_with_login_and_database(scheme: str) -> None:
    address = parse(f"{scheme}://us%40er:p%2Fw@cache.example:7000/3")
    assert address.topology is Topology.ONE
    assert address.endpoints == (Endpoint("cache.example", 7000),)
    assert address.greeting() == [(b"AUTH", "us@er", "p/w"), (b"SELECT", 3)]


def test_a_password_without_a_user() -> None:
    assert parse("redis://:secret@h").greeting() == [(b"AUTH", "secret")]


def test_the_port_is_the_usual_one_if_none_is_named() -> None:
    assert parse("redis://h").endpoints == (Endpoint("h", 6379),)


def test_an_address_of_ipv6() -> None:
    assert parse("redis://[::1]:7000").endpoints == (Endpoint("::1", 7000),)
    assert parse("redis://[::1]").endpoints == (Endpoint("::1", 6379),)


def test_a_unix_socket() -> None:
    address = parse("unix:///run/valkey.sock?db=2&password=secret")
    assert address.endpoints == (Endpoint("/run/valkey.sock", 0),)
    assert address.greeting() == [(b"AUTH", "secret"), (b"SELECT", 2)]


def test_the_master_of_sentinels() -> None:
    address = parse("redis+sentinel://:secret@h1:1,h2/main/4?sentinel_password=other")
    assert address.topology is Topology.SENTINEL
    assert address.endpoints == (Endpoint("h1", 1), Endpoint("h2", 26379))
    assert (address.master_name, address.database) == ("main", 4)
    assert address.sentinel_greeting() == [(b"AUTH", "other")]


def test_the_name_of_the_master_as_an_option() -> None:
    address = parse("redis+sentinel://us:secret@h1:1,h2:2,h3:3/0?service=main")
    assert [str(endpoint) for endpoint in address.endpoints] == ["h1:1", "h2:2", "h3:3"]
    assert (address.master_name, address.database, address.username) == ("main", 0, "us")
    assert parse("sentinel://h1,h2/2?service=main") == parse("redis+sentinel://h1,h2/main/2")
    assert parse("redis+sentinel://h1?service=main").database == 0


def test_a_cluster() -> None:
    address = parse("valkey+cluster://h1:7000,h2:7001,h3")
    assert address.topology is Topology.CLUSTER
    assert address.endpoints == (Endpoint("h1", 7000), Endpoint("h2", 7001), Endpoint("h3", 6379))


@pytest.mark.parametrize(
    "url, server",
    [
        ("redis://h", "redis://h:6379/0"),
        ("valkey://us%40er:p%2Fw@h:1/3", "redis://us%40er:p%2Fw@h:1/3"),
        ("redis+cluster://:secret@h1,h2", "redis://:secret@[::1]:7000/0"),
        ("redis+sentinel://:secret@h1/4?service=main&sentinel_password=other", "redis://:secret@[::1]:7000/4"),
        ("rediss+sentinel://h1/main?ssl_cert_reqs=none", "rediss://[::1]:7000/0?ssl_cert_reqs=none"),
        ("unix:///run/v.sock?db=2", "unix:///run/v.sock?db=2"),
    ],
)
def test_the_url_of_one_of_the_servers(url: str, server: str) -> None:
    address = parse(url)
    endpoint = address.endpoints[0] if address.topology is Topology.ONE else Endpoint("::1", 7000)
    assert address.server_url(endpoint) == server


@pytest.mark.parametrize(
    "text, urls",
    [
        ("", ()),
        ("redis://a", ("redis://a",)),
        ("redis://a:1,redis://:pw@b/1 , rediss://c", ("redis://a:1", "redis://:pw@b/1", "rediss://c")),
        ("redis+sentinel://a,b/m,redis+cluster://c,d", ("redis+sentinel://a,b/m", "redis+cluster://c,d")),
    ],
)
def test_a_list_of_urls_of_which_each_may_name_several_hosts(text: str, urls: tuple[str, ...]) -> None:
    assert split(text) == urls


def test_tls() -> None:
    assert parse("redis://h").tls is None
    assert parse("rediss+cluster://h").tls is not None


@pytest.mark.parametrize(
    "url",
    [
        "", "h:6379", "http://h", "redis+ring://h", "redis://", "redis://h1,h2", "redis://h:no", "redis://h:70000",
        "redis+sentinel://h/0", "rediss://h?ssl_ca_certs=/no/such/file", "redis://:se/cret@h", "redis://:se#cret@h",
        "redis://h/x", "unix://", "redis+sentinel://h", "redis+cluster://h/1", "redis+cluster://",
        "rediss://h?ssl_cert_reqs=CERT_NONE",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        parse(url)


@pytest.mark.parametrize("url", ["redis://:se[cret]@h", "redis+sentinel://:secret\u2100@h/m", "redis://:se/cret@h"])
def test_an_error_shows_nothing_of_a_password(url: str) -> None:
    with pytest.raises(ValueError, match="in a password") as error:
        parse(url)
    assert "cret" not in str(error.value)
    assert error.value.__context__ is None or error.value.__suppress_context__, "a traceback would show it"


def test_no_password_is_shown() -> None:
    with pytest.raises(ValueError, match="written as %2F"):
        parse("redis://:secret/1@h")
    assert "secret" not in repr(parse("redis+sentinel://:secret@h/m?sentinel_password=secret"))
