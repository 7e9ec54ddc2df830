"""`manage.py route`: explains which region a client is sent to. See docs/operations/geo.md.

Exit codes: 0 done; 1 the database does not answer; 2 usage error.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from relay.conf import config
from relay.management.command import CommandWithExamples
from relay.services.figures import read_figures_now
from replication.geo.choice import Decision, Reason, choose
from replication.geo.database import GeoDatabase, address_of
from replication.geo.records import name_in, place_in
from replication.geo.regions import read_regions
from replication.geo.routing import with_load

EXAMPLES = """examples:
  manage.py route 203.0.113.7
  manage.py route 2001:db8::1 --json"""

WHY = {
    Reason.NEAREST: "the nearest of those that can take clients",
    Reason.DEFAULT: "the place of the address is unknown: RELAY_DEFAULT_REGION",
    Reason.LOCAL: "this region: the place is unknown, or no other can take clients",
    Reason.ALONE: "there are no regions",
}


class Explained(msgspec.Struct, frozen=True):
    """The decision as JSON. `regions`: name, km (None if not known), health, weight and load of each.

    `databases`: path, day of the data (None without any) and fault ("" without one) of each.
    """

    address: str
    latitude: float | None
    longitude: float | None
    place: str
    databases: list[dict[str, Any]]
    region: str | None
    reason: str
    regions: list[dict[str, Any]]


class Command(CommandWithExamples):
    """Decides as a worker does, with the regions and the files as they are now; it changes nothing."""

    help = "Explains which region a client at an address is sent to."
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the options."""
        parser.add_argument("address", help="an IPv4 or IPv6 address")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Django: print it."""
        try:
            address_of(options["address"])
        except ValueError:
            raise CommandError(f"{options['address']!r} is no IP address", returncode=2) from None
        explained = explain(options["address"])
        self.stdout.write(msgspec.json.encode(explained).decode() if options["json"] else text_of(explained))


def explain(address: str) -> Explained:
    """The decision for an IP address. Raises DatabaseError."""
    database = GeoDatabase([Path(word) for word in settings.RELAY_GEOIP_DATABASE])
    database.refresh()
    workers = read_figures_now(config().cache_url).workers
    connections = sum(worker.connections for worker in workers)
    regions = [
        with_load(region, connections, len(workers) * config().max_connections)
        for region in read_regions(config().own_places)
    ]
    record = database.record_of(address)
    place = place_in(record)
    decision = choose(regions, place, settings.RELAY_DEFAULT_REGION, time.time())
    return Explained(
        address,
        place.latitude if place else None,
        place.longitude if place else None,
        name_in(record),
        [{"path": str(file.path), "data_of": _day(file.build_epoch), "fault": file.fault} for file in database.files],
        decision.region.name if decision.region else None,
        decision.reason,
        _regions(decision),
    )


def _day(seconds: int | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _regions(decision: Decision) -> list[dict[str, Any]]:
    return [
        {
            "name": one.region.name,
            "km": None if one.km is None else round(one.km),
            "health": one.health,
            "weight": one.region.weight,
            "connections": one.region.connections,
            "capacity": one.region.capacity,
        }
        for one in sorted(decision.considered, key=lambda one: (one.km is None, one.km or 0, one.region.name))
    ]


def text_of(explained: Explained) -> str:
    """The decision in words."""
    where = "unknown place"
    if explained.latitude is not None:
        where = f"{explained.place or 'a place without a name'} ({explained.latitude:.2f}, {explained.longitude:.2f})"
    databases = [*map(_database_line, explained.databases)] or ["no database of addresses: RELAY_GEOIP_DATABASE"]
    lines = [f"{explained.address}: {where}", *databases]
    if explained.regions:
        lines.append("")
    for one in explained.regions:
        mark = "→" if one["name"] == explained.region else " "
        km = "–" if one["km"] is None else f"{one['km']:,} km"
        room = f"{one['connections']:,} of {one['capacity']:,} connections" if one["capacity"] else "load unknown"
        lines.append(f"{mark} {one['name']:20} {km:>10}  {one['health']:8}  weight {one['weight']}, {room}")
    lines += ["", f"{explained.region or 'this relay'}: {WHY[Reason(explained.reason)]}"]
    return "\n".join(lines)


def _database_line(one: dict[str, Any]) -> str:
    return f"warning: {one['path']}: {one['fault']}" if one["fault"] else f"{one['path']}: data of {one['data_of']}"
