"""The region of a client: the nearest healthy one with room, else the default one, else this one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.geo.choice import (
    FULL_SHARE,
    RECENT_SECONDS,
    SAME_DISTANCE_KM,
    Health,
    Reason,
    Region,
    choose,
)
from replication.geo.sphere import Place, distance_km

NOW = 1_700_000_000.0

FRANKFURT = Region("frankfurt", ("wss://fra.example.com",), Place(50.11, 8.68), is_local=True)
VIRGINIA = Region("virginia", ("wss://iad.example.com",), Place(38.95, -77.45), heard_at=NOW - 1)
TOKYO = Region("tokyo", ("wss://nrt.example.com",), Place(35.68, 139.69), heard_at=NOW - 1)
REGIONS = (FRANKFURT, VIRGINIA, TOKYO)

NEW_YORK = Place(40.71, -74.0)
OSAKA = Place(34.69, 135.5)


def chosen(*regions: Region, place: Place | None = OSAKA, default: str = "") -> tuple[str, Reason]:
    decision = choose(regions, place, default, NOW)
    return (decision.region.name if decision.region else ""), decision.reason


def test_the_nearest_region_is_chosen() -> None:
    assert chosen(*REGIONS, place=NEW_YORK) == ("virginia", Reason.NEAREST)
    assert chosen(*REGIONS, place=OSAKA) == ("tokyo", Reason.NEAREST)


def test_a_decision_says_the_distance_and_what_else_was_compared() -> None:
    decision = choose(REGIONS, OSAKA, "", NOW)
    assert decision.km == pytest.approx(395, abs=5)
    assert [(one.region.name, one.health, round(one.km or 0, -3)) for one in decision.considered] == [
        ("frankfurt", Health.OK, 9_000),
        ("virginia", Health.OK, 11_000),
        ("tokyo", Health.OK, 0),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"is_up": False},
        {"heard_at": None},
        {"heard_at": NOW - RECENT_SECONDS - 1},
        {"connections": 95, "capacity": 100},
        {"relay_urls": ()},
    ],
    ids=["down", "never heard of", "not heard of lately", "full", "without an address"],
)
def test_a_region_that_cannot_take_clients_is_passed_over(changes: dict) -> None:
    assert chosen(FRANKFURT, VIRGINIA, replace(TOKYO, **changes)) == ("frankfurt", Reason.NEAREST)


def test_a_region_without_a_place_is_never_the_nearest() -> None:
    assert chosen(FRANKFURT, replace(TOKYO, place=None)) == ("frankfurt", Reason.NEAREST)


def test_a_region_of_unknown_capacity_has_room() -> None:
    assert replace(TOKYO, connections=10**6).health(NOW) is Health.OK


def test_the_local_region_needs_no_word_of_itself_but_room() -> None:
    assert replace(FRANKFURT, is_up=False, heard_at=None).health(NOW) is Health.OK
    assert chosen(replace(FRANKFURT, connections=99, capacity=100), TOKYO, place=Place(50, 8)) == (
        "tokyo",
        Reason.NEAREST,
    )


def test_with_no_region_that_can_take_clients_it_is_the_local_one() -> None:
    full = replace(FRANKFURT, connections=100, capacity=100)
    assert chosen(full, replace(TOKYO, is_up=False)) == ("frankfurt", Reason.LOCAL)


def test_an_unknown_place_gets_the_default_region() -> None:
    assert chosen(*REGIONS, place=None, default="virginia") == ("virginia", Reason.DEFAULT)


@pytest.mark.parametrize("default", ["", "no-such-region", "tokyo"], ids=["none", "unknown", "down"])
def test_an_unknown_place_without_a_default_that_can_take_it_gets_the_local_region(default: str) -> None:
    assert chosen(FRANKFURT, replace(TOKYO, is_up=False), place=None, default=default) == ("frankfurt", Reason.LOCAL)


def test_without_regions_there_is_none() -> None:
    assert chosen() == ("", Reason.ALONE)


def test_of_equally_near_regions_the_heavier_is_chosen() -> None:
    yokohama = replace(TOKYO, name="yokohama", place=Place(35.44, 139.64), weight=200)
    assert distance_km(yokohama.place or OSAKA, TOKYO.place or OSAKA) < SAME_DISTANCE_KM
    assert chosen(TOKYO, yokohama) == ("yokohama", Reason.NEAREST)
    assert chosen(replace(TOKYO, weight=201), yokohama) == ("tokyo", Reason.NEAREST)


def test_weight_does_not_make_a_far_region_near() -> None:
    assert chosen(replace(FRANKFURT, weight=10**6), TOKYO) == ("tokyo", Reason.NEAREST)


regions = st.lists(
    st.builds(
        Region,
        name=st.sampled_from("abcdefgh"),
        relay_urls=st.just(("wss://relay.example.com",)),
        place=st.none() | st.builds(Place, st.integers(-90, 90), st.integers(-180, 180)),
        is_local=st.booleans(),
        weight=st.integers(0, 3),
        is_up=st.booleans(),
        heard_at=st.none() | st.sampled_from([NOW, NOW - RECENT_SECONDS, NOW - RECENT_SECONDS - 1]),
        connections=st.integers(0, 100),
        capacity=st.sampled_from([0, 50, 100]),
    ),
    unique_by=(lambda region: region.name, lambda region: region.is_local or region.name),
    max_size=6,
)


def can_take_clients(region: Region) -> bool:
    heard = region.heard_at is not None and region.heard_at >= NOW - RECENT_SECONDS
    room = region.capacity == 0 or region.connections < region.capacity * FULL_SHARE
    return room and (region.is_local or (region.is_up and heard))


@given(regions, st.none() | st.builds(Place, st.integers(-90, 90), st.integers(-180, 180)), st.sampled_from("abz"))
def test_a_decision_is_that_of_the_rules_said_one_by_one(
    regions: list[Region], place: Place | None, default: str
) -> None:
    able = [region for region in regions if can_take_clients(region)]
    decision = choose(regions, place, default, NOW)
    region = decision.region
    local = [region for region in regions if region.is_local]
    if place is not None and any(region.place for region in able):
        assert region in able
        assert region is not None
        assert region.place is not None
        km = distance_km(place, region.place)
        for other in able:
            if other.place is not None:
                farther = distance_km(place, other.place) - km
                assert farther >= -SAME_DISTANCE_KM
                assert farther >= 0 or region.weight >= other.weight
    elif place is None and default in [region.name for region in able]:
        assert region is not None
        assert region.name == default
    else:
        assert region == (local[0] if local else None)


@given(regions, st.builds(Place, st.integers(-90, 90), st.integers(-180, 180)), st.randoms())
def test_the_order_of_the_regions_decides_nothing(regions: list[Region], place: Place, random: object) -> None:
    shuffled = list(regions)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose(shuffled, place, "a", NOW).region == choose(regions, place, "a", NOW).region
