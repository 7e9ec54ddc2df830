"""Places on the operators' map."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from replication.geo.sphere import Place
from replication.map.projection import HEIGHT, TOP, WIDTH, Spot, spots

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


def test_the_land_is_small_and_lies_within_the_map() -> None:
    text = LAND.read_text()
    assert len(text) < LARGEST_BYTES
    begins = re.findall(r"M(\d+),(\d+)l", text)
    assert len(begins) > 50
    assert all(int(x) <= WIDTH and TOP <= int(y) <= TOP + HEIGHT for x, y in begins)
