"""Which login proves a key (NIP-42), by vectors that other implementations were asked too."""

import json
from pathlib import Path
from typing import Any

import pytest

from relay.protocol.errors import Invalid
from relay.protocol.limits import Limits
from relay.protocol.login import MAX_RELAYS, OwnPlaces, check_login, place_of
from relay.protocol.shape import event_from
from tests.events import NOW, sign_event

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "nip42.json").read_text())
OWN = OwnPlaces([f"wss://{host}" for host in VECTORS["hosts"]])
CASES = {case["name"]: case for case in VECTORS["cases"]}
NO_CHALLENGE = "a challenge that was not sent"
REASONS = {
    "kind": "invalid: a login is an event of kind 22242",
    "created_at": "invalid: created_at of the login is too far from now",
    "challenge": "invalid: the login does not hold the challenge of this connection",
    "relay": "invalid: the login is for another relay",
    "id": "invalid: the id is not the hash of the event",
    "sig": "invalid: the signature is not the author's",
}


def answer(event: dict[str, Any], challenge: str, own: OwnPlaces = OWN, now: int = VECTORS["now"]) -> str:
    """The text of the refusal, "" for a login that proves its key."""
    try:
        check_login(event_from(event, Limits()), challenge, own, now)
    except Invalid as fault:
        return fault.text
    return ""


@pytest.mark.parametrize("name", CASES)
def test_42_2_a_login_is_judged_as_the_vectors_say(name: str) -> None:
    case = CASES[name]
    challenge = case.get("challenge", VECTORS["challenge"]) or NO_CHALLENGE

    assert answer(case["event"], challenge) == ("" if case["expect"] == "valid" else REASONS[case["reason"]])


def test_42_1_a_challenge_that_was_replaced_proves_nothing() -> None:
    login = sign_event(kind=22_242, tags=[["relay", "wss://relay.example.com"], ["challenge", "old"]])

    assert answer(login, "old", now=NOW) == ""
    assert answer(login, "new", now=NOW) == REASONS["challenge"]


@pytest.mark.parametrize(
    "url",
    [
        *("", "relay.example.com", "//relay.example.com", "wss:relay.example.com", "wss:///relay.example.com"),
        *("https://relay.example.com", "wss://u@relay.example.com", "wss://u:p@relay.example.com", "wss://@x.example"),
        *("wss://evil.example\\@relay.example.com", "wss://relay.example.com ", "wss://relay.exa\tmple.com"),
        *("wss://relay.example.com:x", "wss://relay.example.com:99999", "wss://[::1", "wss://\u212aelay.example.com"),
        *("\nwss://relay.example.com", "wss://relay\u3002example.com", "wss://."),
    ],
)
def test_42_2_what_parsers_disagree_on_names_no_relay(url: str) -> None:
    assert place_of(url) is None


@pytest.mark.parametrize("url", ["ws://LOCALHOST", "ws://127.0.0.1:7777/", "wss://[::1]:1/"])
def test_42_2_loopback_addresses_are_one_host(url: str) -> None:
    assert OwnPlaces(["ws://127.0.0.1:8000"]).has(url)
    assert not OwnPlaces(["ws://relay.example.com"]).has(url)


def test_42_2_of_several_relays_on_one_host_the_path_counts() -> None:
    tenant = OwnPlaces(["wss://example.com/one/"])

    assert tenant.has("wss://example.com/one")
    assert not tenant.has("wss://example.com/two")
    assert not tenant.has("wss://example.com/")


def test_a_login_is_refused_without_reading_ten_thousand_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def has(_own: OwnPlaces, url: str) -> bool:
        read.append(url)
        return url == "ours"

    monkeypatch.setattr(OwnPlaces, "has", has)
    tags = [["challenge", "c"], *(["relay", f"wss://{number}.example"] for number in range(5_000))]
    late = sign_event(kind=22_242, tags=[*tags, ["relay", "ours"]])
    in_time = sign_event(kind=22_242, tags=[*tags[:MAX_RELAYS], ["relay", "ours"]])

    assert answer(late, "c", now=NOW) == f"invalid: none of the first {MAX_RELAYS} relays of the login is this one"
    assert len(read) == MAX_RELAYS
    assert answer(in_time, "c", now=NOW) == ""


def test_a_very_long_url_names_no_relay() -> None:
    assert place_of("wss://relay.example/" + "a" * 2_028) is not None
    assert place_of("wss://relay.example/" + "a" * 2_029) is None
