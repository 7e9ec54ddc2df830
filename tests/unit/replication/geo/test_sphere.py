"""Distances on the globe: known ones, the edges of the map, and what holds for all."""

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.geo.sphere import EARTH_RADIUS_KM, HALF_CIRCUMFERENCE_KM, Place, distance_km

NEARLY_OPPOSITE_KM = 0.5
"""What rounding may cost, in three distances."""

BERLIN = Place(52.52, 13.405)

places = st.builds(
    Place,
    st.floats(-90, 90) | st.sampled_from([-90.0, 0.0, 90.0]),
    st.floats(-180, 180) | st.sampled_from([-180.0, 0.0, 180.0]),
)


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        (BERLIN, Place(48.8566, 2.3522), 877.5),  # Paris
        (Place(40.7128, -74.006), Place(51.5074, -0.1278), 5_570.2),  # New York, London
        (Place(-33.8688, 151.2093), Place(-34.6037, -58.3816), 11_795.0),  # Sydney, Buenos Aires, over the south
    ],
)
def test_known_distances_between_cities(one: Place, other: Place, km: float) -> None:
    assert distance_km(one, other) == pytest.approx(km, rel=0.005)


def test_a_degree_along_a_meridian_is_111_km() -> None:
    assert distance_km(Place(0, 20), Place(1, 20)) == pytest.approx(111.195, abs=0.001)


@pytest.mark.parametrize("place", [BERLIN, Place(90, 0), Place(-90, 17), Place(0, 180), Place(0, 0)])
def test_equal_points_have_no_distance(place: Place) -> None:
    assert distance_km(place, place) == 0


@pytest.mark.parametrize("latitude", [90, -90])
def test_a_pole_is_one_place_whatever_its_longitude(latitude: float) -> None:
    assert distance_km(Place(latitude, -120), Place(latitude, 77)) == pytest.approx(0, abs=1e-6)


def test_from_pole_to_pole_is_half_the_circumference() -> None:
    assert distance_km(Place(90, 12), Place(-90, -140)) == pytest.approx(HALF_CIRCUMFERENCE_KM)


def test_the_antimeridian_is_crossed_the_short_way() -> None:
    assert distance_km(Place(0, 179.5), Place(0, -179.5)) == pytest.approx(111.195, abs=0.001)
    assert distance_km(Place(64.5, -180), Place(64.5, 180)) == pytest.approx(0, abs=1e-6)


def test_opposite_places_are_half_the_circumference_apart() -> None:
    assert distance_km(BERLIN, Place(-52.52, 13.405 - 180)) == pytest.approx(HALF_CIRCUMFERENCE_KM)


@given(places, places)
def test_a_distance_is_the_same_both_ways(one: Place, other: Place) -> None:
    assert distance_km(one, other) == pytest.approx(distance_km(other, one), abs=NEARLY_OPPOSITE_KM)


@given(places, places)
def test_a_distance_is_between_none_and_half_the_circumference(one: Place, other: Place) -> None:
    assert 0 <= distance_km(one, other) <= HALF_CIRCUMFERENCE_KM


@given(places, places, places)
def test_a_detour_is_never_shorter(one: Place, by: Place, other: Place) -> None:
    assert distance_km(one, other) <= distance_km(one, by) + distance_km(by, other) + NEARLY_OPPOSITE_KM


@given(places, places)
def test_a_distance_agrees_with_the_angle_between_vectors(one: Place, other: Place) -> None:
    assert distance_km(one, other) == pytest.approx(_by_vectors(one, other), abs=NEARLY_OPPOSITE_KM)


def _by_vectors(one: Place, other: Place) -> float:
    """The naive way: the angle between the two directions from the centre of the earth."""
    from math import atan2, cos, hypot, radians, sin

    def vector(place: Place) -> tuple[float, float, float]:
        latitude, longitude = radians(place.latitude), radians(place.longitude)
        return cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude)

    (a, b, c), (d, e, f) = vector(one), vector(other)
    cross = hypot(b * f - c * e, c * d - a * f, a * e - b * d)
    return EARTH_RADIUS_KM * atan2(cross, a * d + b * e + c * f)


@pytest.mark.parametrize(("latitude", "longitude"), [(90.1, 0), (-91, 0), (0, 181), (0, -180.5), (nan, 0), (0, nan)])
def test_what_is_not_on_the_globe_is_no_place(latitude: float, longitude: float) -> None:
    with pytest.raises(ValueError, match="is no place"):
        Place(latitude, longitude)
