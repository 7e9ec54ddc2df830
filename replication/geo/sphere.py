"""Places on the earth, and the distance between two of them. Rule: pure."""

from dataclasses import dataclass
from math import asin, cos, pi, radians, sin, sqrt

EARTH_RADIUS_KM = 6_371.0088
"""The mean radius (IUGG). The earth is no sphere: a distance is wrong by 0.5 % at most."""

HALF_CIRCUMFERENCE_KM = pi * EARTH_RADIUS_KM
"""No two places are further apart."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in degrees (WGS 84). Raises ValueError for what is not on the globe."""

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        if not (-90 <= self.latitude <= 90 and -180 <= self.longitude <= 180):  # NaN fails both
            raise ValueError(f"{self.latitude}, {self.longitude} is no place: latitude ±90, longitude ±180")


def distance_km(one: Place, other: Place) -> float:
    """The great-circle distance (haversine).

    Exact to a millimetre for near places; for places that are nearly opposite to 0.2 km, as rounding decides there.
    """
    latitude, other_latitude = radians(one.latitude), radians(other.latitude)
    north = sin((other_latitude - latitude) / 2)
    east = sin(radians(other.longitude - one.longitude) / 2)
    haversine = north * north + cos(latitude) * cos(other_latitude) * east * east
    return 2 * EARTH_RADIUS_KM * asin(sqrt(min(1.0, haversine)))
