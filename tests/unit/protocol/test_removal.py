"""What kinds 5 and 62 name: ids, addresses, relays; and what is malformed names nothing."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol import removal
from relay.protocol.event import Event
from relay.protocol.removal import asks_to_vanish_here, place_of, targets_of
from tests import strategies
from tests.events import pubkey_of, secret, unsigned_event

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "deletion.json").read_text())["deletion"]
ME, OTHER = pubkey_of(secret(1)), pubkey_of(secret(2))
HERE = frozenset(place for place in [place_of("wss://relay.example.com")] if place)


def event(tags: list[list[str]], kind: int = 5) -> Event:
    return msgspec.convert(unsigned_event(kind=kind, tags=tags), Event)


def targets(*tags: list[str]) -> tuple[Any, Any]:
    found = targets_of(event(list(tags)))
    return list(found.ids), list(found.addresses)


def test_09_13_a_deletion_without_e_and_a_names_nothing() -> None:
    assert targets(["k", "1"], ["p", ME], []) == ([], [])


def test_09_1_ids_are_named_once_and_only_in_lower_case_hex() -> None:
    good = "ab" * 32
    assert targets(["e", good], ["e", good], ["e", good.upper()], ["e", "short"], ["e"]) == ([good], [])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"30023:{ME}:x", (30_023, "x")),
        (f"30023:{ME}:a:b:c", (30_023, "a:b:c")),
        (f"30023:{ME}:", (30_023, "")),
        (f"10002:{ME}:", (10_002, "")),
        (f"10002:{ME}", (10_002, "")),
        (f"0:{ME}:", (0, "")),
        (f"3:{ME}", (3, "")),
    ],
)
def test_09_5_addresses_of_all_forms(text: str, named: tuple[int, str]) -> None:
    assert targets(["a", text]) == ([], [named])


@pytest.mark.parametrize(
    "text",
    ["", ":", "30023", f"30023:{OTHER}:x", f"30023:{ME.upper()}:x", f"30023:{ME}", f"10002:{ME}:x", f"1:{ME}:x",
     f"20001:{ME}:x", f"030023:{ME}:x", f"+30023:{ME}:x", f"-1:{ME}:x", f"٣:{ME}:", f"99999:{ME}:x", f"x:{ME}:x"],
)  # fmt: skip
def test_09_6_a_malformed_or_foreign_address_names_nothing(text: str) -> None:
    assert targets(["a", text]) == ([], [])


@pytest.mark.parametrize(("relay", "is_ours"), VECTORS["vanish_relay_tags"])
def test_62_1_a_request_names_this_relay_in_any_form_of_its_address(relay: str, is_ours: bool) -> None:
    assert asks_to_vanish_here(event([["relay", relay]], 62), HERE) is is_ours


@pytest.mark.parametrize("relay", ["", "wss://[::1", "wss://relay.example.com:x", "wss://relay.example.com/?a", "wss:"])
def test_62_1_what_is_no_address_is_not_ours(relay: str) -> None:
    assert not asks_to_vanish_here(event([["relay", relay]], 62), HERE)


def test_62_1_of_ten_thousand_addresses_only_those_with_our_host_in_them_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []

    def noted(url: str) -> removal.Place | None:
        read.append(url)
        return place_of(url)

    monkeypatch.setattr(removal, "place_of", noted)
    others = [["relay", f"wss://{number}.example/"] for number in range(9_998)]
    with_our_host = ["relay", "wss://relay.example.com.example"]
    ours = ["relay", "WSS://Relay.Example.Com:443/"]

    assert asks_to_vanish_here(event([*others, with_our_host, ours], 62), HERE)
    assert ours[1] in read
    assert {*read} <= {with_our_host[1], ours[1]}
    assert asks_to_vanish_here(event([*others, with_our_host, ["relay", "ALL_RELAYS"]], 62), HERE)
    assert len(read) <= 2


@given(strategies.texts(), st.sampled_from(["", ":443", ":7777", "/", "/a"]), st.sampled_from(["ws", "wss", "WSS"]))
def test_62_1_whatever_the_host_is_made_of_its_address_is_ours(host: str, rest: str, scheme: str) -> None:
    url = f"{scheme}://{host}{rest}"
    place = place_of(url)
    if place is not None:
        for spelling in (url, url.upper(), url.title(), url.lower()):
            own = asks_to_vanish_here(event([["relay", spelling]], 62), frozenset([place]))
            assert own is (place_of(spelling) == place)


@pytest.mark.parametrize("host", ["[::1]", "\u03a3", "a\u03a3", "A\u03a3.GR", "\u0130b", "[fe80::1%Eth0]"])
def test_62_1_a_host_whose_lower_case_depends_on_its_place_is_found(host: str) -> None:
    url = f"wss://{host}:7777/a"
    place = place_of(url)
    assert place is not None
    assert asks_to_vanish_here(event([["relay", url]], 62), frozenset([place]))


def test_62_1_only_kind_62_asks_to_vanish() -> None:
    assert not asks_to_vanish_here(event([["relay", "ALL_RELAYS"]], 5), HERE)


@given(strategies.texts())
def test_09_6_no_text_fails(text: str) -> None:
    targets(["a", text], ["e", text], ["a", f"30023:{text}"])
    place_of(text)
    place_of("wss://" + text)


def test_a_very_long_url_is_no_address_of_a_relay() -> None:
    assert place_of("wss://relay.example/" + "a" * 2_028) is not None
    assert place_of("wss://relay.example/" + "a" * 2_029) is None
