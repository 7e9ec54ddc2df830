"""What kinds 5 and 62 name: ids, addresses, relays; and what is malformed names nothing."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given

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
