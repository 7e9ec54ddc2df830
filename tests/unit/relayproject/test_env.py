"""The typed readers: a wrong text is a fault and the default, never an exception."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import relayproject.settings  # noqa: F401  it reads the known ones
from relayproject import env, env_nostr, env_regions, env_urls

NO_URI = "must be a URI, such as mailto:operator@example.com, not "
GUESSED = "can be guessed: it must have 32 random characters or more, better 50"
HOSTS = "must be a URL such as postgresql://user:password@host-a:5432,host-b:5432/name"
NO_SERVER = "cannot be used: http:// is no address of Valkey or Redis"
ONE_URL = "must be one URL: only BUS_URL may list several servers that know nothing of each other"
SECOND = "cannot be used: URL 2 of it: 'b:no' is no host and port"
NPUB = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6"


@pytest.fixture(autouse=True)
def faults(monkeypatch: pytest.MonkeyPatch) -> list[env.Fault]:
    fresh: list[env.Fault] = []
    monkeypatch.setattr(env, "faults", fresh)
    monkeypatch.setattr(env, "defaults", dict(env.defaults))  # X is no setting
    return fresh


@pytest.mark.parametrize(
    "read, text, value",
    [
        (lambda: env.integer("X", 5), "7", 7),
        (lambda: env.integer("X", 5), " ", 5),
        (lambda: env.seconds("X", 1.0), "0.5", 0.5),
        (lambda: env.flag("X", False), "Yes", True),
        (lambda: env.flag("X", True), "off", False),
        (lambda: env.words("X"), "a, b,,c ", ("a", "b", "c")),
        (lambda: env_urls.database_address("X", ""), "postgresql://u:p@h:1/n", "postgresql://u:p@h:1/n"),
        (
            lambda: env_urls.database_address("X", ""),
            "postgres://u:p,%40@a:1,[::1],c/n?sslmode=require",
            "postgres://u:p,%40@/n?host=a,::1,c&port=1,5432,5432&sslmode=require",
        ),
        (lambda: env_nostr.kinds("X"), "1059, 4", (1_059, 4)),
        (lambda: env_nostr.kinds("X"), " ", ()),
        (lambda: env_nostr.kinds("X"), "all", None),
        (lambda: env_nostr.bits_by_kind("X"), "1059=20, 7=0", ((1_059, 20), (7, 0))),
        (lambda: env.choice("X", "a", ("a", "b")), "b", "b"),
        (lambda: env.folder("X", Path("/d")), "/some/where", Path("/some/where")),
        (lambda: env_nostr.public_key("X"), NPUB, "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d"),
        (lambda: env_nostr.public_key("X"), "npub1abc", "npub1abc"),
        (lambda: env.secret("X"), "0123456789" * 4, "0123456789" * 4),
        (lambda: env_urls.uri("X"), "mailto:me@example.com", "mailto:me@example.com"),
        (lambda: env_urls.uri("X"), "nostr:" + NPUB, "nostr:" + NPUB),
        (lambda: env_urls.web_address("X", "", ("ws", "wss")), "wss://h:1/2", "wss://h:1/2"),
        (lambda: env_urls.redis_address("X", ""), "unix:///run/v.sock", "unix:///run/v.sock"),
        (lambda: env_urls.redis_address("X", ""), "redis+cluster://a:1,b:2", "redis+cluster://a:1,b:2"),
        (lambda: env_urls.redis_addresses("X", "redis://h"), "", ("redis://h",)),
        (lambda: env_urls.redis_addresses("X", ""), "redis://a, redis://b,", ("redis://a", "redis://b")),
    ],
)
def test_a_right_text_becomes_its_value(
    monkeypatch: pytest.MonkeyPatch, faults: list[env.Fault], read: Callable[[], object], text: str, value: object
) -> None:
    monkeypatch.setenv("X", text)

    assert read() == value
    assert faults == []


@pytest.mark.parametrize(
    "read, text, default, problem",
    [
        (lambda: env.integer("X", 5), "many", 5, "must be a whole number, not 'many'"),
        (lambda: env.integer("X", 5, low=1, high=9), "10", 5, "must be from 1 to 9, not 10"),
        (lambda: env.seconds("X", 1.0), "soon", 1.0, "must be a number of seconds, not 'soon'"),
        (lambda: env.seconds("X", 1.0), "nan", 1.0, "must be from 0 to 86400 seconds, not nan"),
        (lambda: env.flag("X", True), "maybe", True, "must be true or false, not 'maybe'"),
        (lambda: env.choice("X", "a", ("a", "b")), "c", "a", "must be one of a, b, not 'c'"),
        (lambda: env_urls.uri("X"), "me@example.com", "", NO_URI + repr("me@example.com")),
        (lambda: env_urls.uri("X"), "mailto:me and you", "", NO_URI + repr("mailto:me and you")),
        (lambda: env.secret("X"), "abc", "abc", GUESSED),
        (lambda: env.secret("X"), "s" * 50, "s" * 50, GUESSED),
        (lambda: env_urls.web_address("X", "", ("ws", "wss")), "http://h", "", "must be a URL that starts with ws:// or wss://"),
        (lambda: env_urls.web_address("X", "", ("ws",)), "ws://host:port", "", "must be a URL that starts with ws://"),
        (lambda: env_urls.database_address("X", ""), "postgresql://a:1,b:/n", "", HOSTS),
        (lambda: env_urls.database_address("X", ""), "mysql://a,b/n", "", HOSTS),
        (
            lambda: env_urls.database_address("X", ""),
            "postgresql://u:se[cret]@h/n",
            "",
            "must be a URL that starts with postgresql:// or postgres://",
        ),
        (lambda: env_urls.web_address("X", "", ("ws",)), "ws://[", "", "must be a URL that starts with ws://"),
        (lambda: env_urls.redis_address("X", ""), "http://h", "", NO_SERVER),
        (lambda: env_urls.redis_address("X", ""), "redis://a,redis://b", "", ONE_URL),
        (lambda: env_urls.redis_addresses("X", "redis://h"), "redis://a,redis://b:no", ("redis://h",), SECOND),
    ],
)  # fmt: skip
def test_a_wrong_text_is_a_fault_and_gives_the_default(
    monkeypatch: pytest.MonkeyPatch,
    faults: list[env.Fault],
    read: Callable[[], object],
    text: str,
    default: object,
    problem: str,
) -> None:
    monkeypatch.setenv("X", text)

    assert read() == default
    assert faults == [env.Fault("X", problem)]


@pytest.mark.parametrize(
    "name, meant",
    [("RELAY_MAX_LIMTI", "RELAY_MAX_LIMIT"), ("RELAY_METRIC_TOKEN", "RELAY_METRICS_TOKEN"), ("RELAY_SERVICE_PORT", "")],
)
def test_a_variable_that_nothing_reads_is_found_with_the_one_it_resembles(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "1")

    assert (name, meant) in list(env.misspelt())


def test_what_the_supervisor_tells_its_children_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in env.INTERNAL:
        monkeypatch.setenv(name, "1")

    assert not env.INTERNAL & {name for name, _ in env.misspelt()}


@pytest.mark.parametrize("peers", ["us=https://a.example.com,us=https://b.example.com", "eu=https://a.example.com"])
def test_a_region_is_no_peer_of_itself_and_is_named_once(
    monkeypatch: pytest.MonkeyPatch, faults: list[env.Fault], peers: str
) -> None:
    monkeypatch.setenv("X", peers)
    assert env_regions.peers("X", "eu") == ()
    assert faults == [env.Fault("X", f"must list each of the other regions once, not {peers[:2]!r} again")]


NAMED_FAULTS = "from relayproject import env, settings; print([fault.name for fault in env.faults])"


@pytest.mark.parametrize(
    "value, is_a_url", [("relay.example.com/a.png", False), ("https://relay.example.com/a.png", True)]
)
def test_11_3_what_nip_11_links_to_must_be_a_url(value: str, is_a_url: bool) -> None:
    names = ["RELAY_BANNER", "RELAY_ICON", "RELAY_TERMS_OF_SERVICE", "RELAY_SOFTWARE"]
    environment = {**os.environ, **dict.fromkeys(names, value)}
    read = [sys.executable, "-c", NAMED_FAULTS]
    said = subprocess.run(read, env=environment, check=True, capture_output=True, text=True, timeout=60)
    assert said.stdout.strip() == str([] if is_a_url else names)
