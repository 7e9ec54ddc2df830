"""What the map shows of each region: a row for the region, one for each lane to it. Rule: four statements, however many
regions there are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count
from django.template.defaultfilters import filesizeformat
from django.utils.timesince import timesince

from relay.conf import config
from replication.geo.choice import Health
from replication.geo.regions import read_regions
from replication.models import DeadLetter, LaneState, PeerHealth, PeerLane, Region, Repair

NONE = "–"


@dataclass(frozen=True, slots=True)
class RegionRow:
    """A region. `level`: "" or "bad"; texts are shown as they are, NONE where nothing is known."""

    name: str
    is_local: bool
    enabled: bool
    health: str
    level: str
    location: tuple[float, float] | None
    latency: str
    heard: str
    load: str
    dead_letters: str
    repair: str
    problem: str


@dataclass(frozen=True, slots=True)
class LaneRow:
    """What is sent to a peer in one lane."""

    peer: str
    cells: tuple[str, ...]
    level: str
    problem: str


def region_rows(now: datetime) -> list[RegionRow]:
    """All regions, this one first. Raises DatabaseError."""
    letters = dict(DeadLetter.objects.values_list("peer_id").annotate(Count("id")).order_by())
    repairs = {each.peer_id: each for each in Repair.objects.order_by("peer_id", "-started_at").distinct("peer_id")}
    health = {each.name: each.health(now.timestamp()) for each in read_regions(config().own_places)}
    regions = Region.objects.select_related("health").order_by("-is_local", "name")
    return [
        _region(each, health.get(each.name), letters.get(each.origin, 0), repairs.get(each.origin), now)
        for each in regions
    ]


def _region(region: Region, health: Health | None, letters: int, repair: Repair | None, now: datetime) -> RegionRow:
    last: PeerHealth | None = getattr(region, "health", None)
    heard = last if last is not None and last.last_contact_at is not None else None
    placed = region.latitude is not None and region.longitude is not None
    return RegionRow(
        name=region.name,
        is_local=region.is_local,
        enabled=region.enabled,
        health="disabled" if health is None else str(health),
        level="" if health in (None, Health.OK) else "bad",
        location=(region.latitude, region.longitude) if placed else None,  # type: ignore[arg-type]
        latency=f"{heard.latency_ms:,.0f} ms" if heard and heard.latency_ms is not None else NONE,
        heard=_heard(heard, now) if not region.is_local else NONE,
        load=f"{heard.connections:,} of {heard.capacity:,}" if heard and heard.capacity else NONE,
        dead_letters=NONE if region.is_local else f"{letters:,}",
        repair=_repair(repair, now),
        problem=last.error if last is not None else "",
    )


def _heard(last: PeerHealth | None, now: datetime) -> str:
    return "never" if last is None or last.last_contact_at is None else _ago(last.last_contact_at, now)


def _repair(repair: Repair | None, now: datetime) -> str:
    if repair is None:
        return NONE
    if repair.error:
        return f"failed {_ago(repair.started_at, now)}"
    if repair.finished_at is None:
        return f"began {_ago(repair.started_at, now)}"
    return f"{_ago(repair.finished_at, now)}: {repair.received:,} in, {repair.sent:,} out"


def _ago(moment: datetime, now: datetime) -> str:
    seconds = max(0, round((now - moment).total_seconds()))
    return f"{seconds} s ago" if seconds < 120 else f"{timesince(moment, now, depth=1)} ago"


def lane_rows() -> list[LaneRow]:
    """The lanes of all peers. Raises DatabaseError."""
    lanes: Iterable[PeerLane] = PeerLane.objects.filter(peer__is_local=False).select_related("peer")
    return [_lane(each) for each in lanes]


def _lane(lane: PeerLane) -> LaneRow:
    cells = (
        lane.lane,
        lane.state,
        f"{lane.lag_events:,}",
        f"{lane.lag_seconds:,.1f} s",
        f"{lane.events_per_second:,.1f}/s",
        f"{filesizeformat(lane.bytes_per_second)}/s",
        f"{lane.sent_events:,}",
    )
    return LaneRow(lane.peer.name, cells, "bad" if lane.state == LaneState.DOWN else "", lane.last_error)
