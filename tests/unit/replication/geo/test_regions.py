"""Regions as the database returns them."""

import json
from typing import Any

import msgspec
import pytest

from relay.protocol.removal import places_of
from replication.geo.choice import Health
from replication.geo.regions import regions_of
from replication.geo.sphere import Place

OWN = places_of(["wss://fra.example.com"])


def row(**changes: Any) -> dict[str, Any]:
    return {
        "name": "tokyo",
        "is_local": False,
        "latitude": 35.7,
        "longitude": 139.7,
        "relay_urls": ["wss://nrt.example.com"],
        "weight": 100,
        "is_up": True,
        "heard_at": 1_000.5,
        "connections": 7,
        "capacity": 100,
        **changes,
    }


def read(**changes: Any) -> Any:
    (region,) = regions_of(json.dumps([row(**changes)]).encode(), OWN)
    return region


def test_a_row_is_a_region() -> None:
    region = read()
    assert (region.name, region.place, region.relay_urls) == ("tokyo", Place(35.7, 139.7), ("wss://nrt.example.com",))
    assert (region.connections, region.capacity, region.heard_at) == (7, 100, 1_000.5)
    assert region.health(1_001) is Health.OK


@pytest.mark.parametrize("changes", [{"latitude": None}, {"longitude": None}, {"latitude": 91.0}])
def test_a_region_that_is_nowhere_has_no_place(changes: dict[str, Any]) -> None:
    assert read(**changes).place is None


def test_a_peer_that_was_never_asked_is_down() -> None:
    assert read(is_up=False, heard_at=None).health(1_001) is Health.DOWN


def test_a_peer_under_our_own_address_loses_it_so_that_no_client_is_sent_in_a_circle() -> None:
    region = read(relay_urls=["wss://FRA.example.com:443/"])
    assert region.relay_urls == ()
    assert region.health(1_001) is Health.UNREACHABLE


def test_an_answer_of_another_shape_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        regions_of(b'[{"name": 1}]', OWN)
