"""Which region serves a client: the nearest healthy one that has room. Rule: pure; the caller says what time it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from replication.geo.sphere import Place, distance_km

SAME_DISTANCE_KM = 50.0
"""Regions so little farther than the nearest are equally near: a database of addresses knows towns, not houses."""

RECENT_SECONDS = 60.0
"""A region that was not heard of for longer counts as down."""

FULL_SHARE = 0.95
"""Of the connections that a region can have: what its clients open until the next word of it fits into the rest."""


class Health(StrEnum):
    """Whether clients are sent to a region, and if not, why."""

    OK = "ok"
    DOWN = "down"
    SILENT = "silent"  # not heard of for RECENT_SECONDS
    FULL = "full"
    UNREACHABLE = "without a relay URL"


class Reason(StrEnum):
    """Why a region was chosen."""

    NEAREST = "nearest"
    DEFAULT = "default"  # the place of the address is unknown: the default region
    LOCAL = "local"  # the place is unknown, or no other region can take clients: this one
    ALONE = "alone"  # there are no regions


@dataclass(frozen=True, slots=True)
class Region:
    """What routing knows of a region. `heard_at`: when it last answered (Unix seconds), None: never.

    `connections` and `capacity` are its own words; a capacity of 0 is unknown, and counts as room.
    """

    name: str
    relay_urls: tuple[str, ...]
    place: Place | None = None
    is_local: bool = False
    weight: int = 100
    is_up: bool = True
    heard_at: float | None = None
    connections: int = 0
    capacity: int = 0

    def health(self, now: float) -> Health:
        """At `now` (Unix seconds). The local region answers this question, so it is neither down nor silent."""
        if not self.is_local:
            if not self.relay_urls:
                return Health.UNREACHABLE
            if not self.is_up:
                return Health.DOWN
            if self.heard_at is None or now - self.heard_at > RECENT_SECONDS:
                return Health.SILENT
        return Health.FULL if 0 < self.capacity * FULL_SHARE <= self.connections else Health.OK


@dataclass(frozen=True, slots=True)
class Considered:
    """A region as it stood in a decision. `km`: None if the place of the client or of the region is unknown."""

    region: Region
    km: float | None
    health: Health


@dataclass(frozen=True, slots=True)
class Decision:
    """The chosen region, None where there are none; its distance; and all that were compared, as given."""

    region: Region | None
    km: float | None
    reason: Reason
    considered: tuple[Considered, ...]


def choose(regions: Iterable[Region], place: Place | None, default: str, now: float) -> Decision:
    """The region for a client at `place`, None if that is unknown. `default`: the name of a region, or "".

    Among equally near regions (SAME_DISTANCE_KM) the one with the highest weight, then the nearest, then the first by
    name. A default region that cannot take clients is not chosen.
    """
    considered = tuple([_considered(region, place, now) for region in regions])
    able = [one for one in considered if one.health is Health.OK]
    if place is not None and (chosen := _nearest(able)) is not None:
        return Decision(chosen.region, chosen.km, Reason.NEAREST, considered)
    if place is None:
        for one in able:
            if one.region.name == default:
                return Decision(one.region, None, Reason.DEFAULT, considered)
    for one in considered:
        if one.region.is_local:
            return Decision(one.region, one.km, Reason.LOCAL, considered)
    return Decision(None, None, Reason.ALONE, considered)


def _considered(region: Region, place: Place | None, now: float) -> Considered:
    km = None if place is None or region.place is None else distance_km(place, region.place)
    return Considered(region, km, region.health(now))


def _nearest(able: list[Considered]) -> Considered | None:
    placed = [(one.km, one) for one in able if one.km is not None]
    if not placed:
        return None
    limit = min(km for km, _ in placed) + SAME_DISTANCE_KM
    near = [(-one.region.weight, km, one.region.name, one) for km, one in placed if km <= limit]
    return min(near, key=lambda found: found[:3])[3]
