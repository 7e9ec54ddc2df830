"""Places on the map, a plate carrée of the latitudes 84° N to 60° S. Rule: pure.

`templates/admin/replication/land.svg` is drawn in the same units: four to a degree.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from replication.geo.sphere import Place

UNITS = 4
NORTH, SOUTH = 84, -60
TOP = (90 - NORTH) * UNITS
WIDTH = 360 * UNITS
HEIGHT = (NORTH - SOUTH) * UNITS

NEAR = 36
"""Units: markers that are nearer than this would cover each other on a phone."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on the map, in units from its left and upper edge; `shift`: how many markers stand there before it."""

    x: float
    y: float
    shift: int = 0

    @property
    def left(self) -> str:
        """In percent of the width, as CSS has it."""
        return f"{100 * self.x / WIDTH:.2f}%"

    @property
    def side(self) -> str:
        """Where its name stands, `left` or `right`: the side that has room."""
        return "left" if self.x > WIDTH / 2 else "right"

    @property
    def top(self) -> str:
        """In percent of the height."""
        return f"{100 * self.y / HEIGHT:.2f}%"


def spots(places: Iterable[Place]) -> list[Spot]:
    """The spot of each place; those beyond the edges stand on the edge."""
    found: list[Spot] = []
    for place in places:
        x = (place.longitude + 180) * UNITS
        y = (NORTH - min(NORTH, max(SOUTH, place.latitude))) * UNITS
        found.append(Spot(x, y, len([spot for spot in found if abs(spot.x - x) < NEAR and abs(spot.y - y) < NEAR])))
    return found
