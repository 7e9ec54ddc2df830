"""Places on the operators' map."""

import re
from itertools import accumulate
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from replication.geo.sphere import Place
from replication.map.projection import HEIGHT, TOP, UNITS, WIDTH, Spot, spots

LAND = Path(__file__).resolve().parents[3] / "templates/admin/replication/land.svg"
LARGEST_BYTES = 60_000


def at(latitude: float, longitude: float) -> Spot:
    (spot,) = spots([Place(latitude, longitude)])
    return spot


def test_the_middle_of_the_map_is_where_the_prime_meridian_is_halfway_between_its_edges() -> None:
    assert (at(12, 0).left, at(12, 0).top) == ("50.00%", "50.00%")


def test_east_is_right_and_north_is_up() -> None:
    assert at(0, 10).x > at(0, 0).x
    assert at(10, 0).y < at(0, 0).y


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_place_is_on_the_map(latitude: float, longitude: float) -> None:
    spot = at(latitude, longitude)
    assert 0 <= spot.x <= WIDTH
    assert 0 <= spot.y <= HEIGHT


def test_markers_of_one_town_stand_side_by_side() -> None:
    town = [Place(50.1, 8.7), Place(50.2, 8.6), Place(50.0, 8.5)]
    assert [spot.shift for spot in spots([*town, Place(35.7, 139.7)])] == [0, 1, 2, 0]


def coasts() -> list[list[tuple[int, int]]]:
    """The steps of each coast, the first one from the origin."""
    path = LAND.read_text().partition("endcomment %}")[2].strip()
    numbers = [[int(number) for number in re.findall(r"-?\d+", coast)] for coast in path.removesuffix("z").split("z")]
    return [list(zip(each[::2], each[1::2], strict=True)) for each in numbers]


def test_the_land_is_small_and_lies_within_the_map() -> None:
    assert len(LAND.read_text()) < LARGEST_BYTES
    assert len(coasts()) > 50
    for coast in coasts():
        height = list(accumulate(north for _, north in coast))
        assert TOP <= min(height) <= max(height) <= TOP + HEIGHT


def test_no_coast_runs_across_the_map_where_it_crosses_the_antimeridian() -> None:
    assert max(abs(east) for _, *steps in coasts() for east, _ in steps) < 15 * UNITS


def test_a_name_stands_on_the_side_of_its_marker_that_has_room() -> None:
    assert (at(35.7, 139.7).side, at(40.7, -74.0).side) == ("left", "right")
