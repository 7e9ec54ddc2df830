"""Routing in a worker: copies of the regions and of the databases of addresses, and the tasks that refresh them.

Rule: a decision asks neither database nor disk, so that it may be asked for without a login.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
from django.conf import settings

from relay.conf import config
from relay.metrics import counters
from relay.protocol.errors import Failed
from relay.services.runtime import Relay
from relay.views.nearer import NearerRegion
from replication.geo.choice import Decision, Reason, Region, choose
from replication.geo.database import GeoDatabase
from replication.geo.regions import regions_of, statement

log = logging.getLogger("relay.geo")

REGIONS_SECONDS = 3.0
"""Between two looks at the regions and their health."""

FILES_SECONDS = 10.0
"""Between two looks at the files of the databases of addresses."""


class Routing:
    """Which region serves a client. `default`: the name of the region for unknown places, or "" for this one."""

    def __init__(self, database: GeoDatabase, default: str) -> None:
        self.database = database
        self.regions: Sequence[Region] = ()
        self._default = default

    @property
    def has_others(self) -> bool:
        """True if there is another region than this."""
        return any(not region.is_local for region in self.regions)

    @property
    def knows_places(self) -> bool:
        """True if what a client is told may depend on its address."""
        return self.has_others and bool(self.database.files)

    def decide(self, address: str) -> Decision:
        """The decision for a client at an IP address; any other text is an unknown place."""
        place = self.database.place_of(address) if self.has_others else None
        return choose(self.regions, place, self._default, time.time())

    def nearer(self, address: str) -> NearerRegion | None:
        """The other region that is nearer to a client than this one."""
        decision = self.decide(address)
        region = decision.region
        if region is None or region.is_local or decision.reason is not Reason.NEAREST:
            return None
        return NearerRegion(region.name, region.relay_urls, page_of(region))


def page_of(region: Region) -> str:
    """The front page of a region that has a relay URL: the same address with http or https."""
    return region.relay_urls[0].replace("ws", "http", 1)


@cache
def routing() -> Routing:
    """That of this process. Until its tasks run, it knows no regions."""
    paths = [Path(word) for word in settings.RELAY_GEOIP_DATABASE]
    return Routing(GeoDatabase(paths, settings.RELAY_DATA_DIR / "geoip"), settings.RELAY_DEFAULT_REGION)


async def follow_regions(relay: Relay) -> None:
    """Copy the regions again and again. What cannot be read stays as it was, and is silent after a while."""
    own, fault = relay.config.own_places, ""
    while True:
        try:
            ((text,),) = await relay.primary.rows(statement("regions"))
            found = regions_of(text or b"", own)
            routing().regions = [
                with_load(region, len(relay.connections), config().max_connections) for region in found
            ]
            fault = ""
        except (Failed, msgspec.DecodeError) as error:
            if str(error) != fault:
                fault = str(error)
                log.warning("the regions cannot be read: %s", fault)
        await asyncio.sleep(REGIONS_SECONDS)


def with_load(region: Region, connections: int, capacity: int) -> Region:
    """The local region with the load of this relay and, where the admin names none, its address; others as they are."""
    if not region.is_local:
        return region
    urls = region.relay_urls or (config().url,)
    return replace(region, relay_urls=urls, connections=connections, capacity=capacity)


async def follow_files() -> None:
    """Exchange the databases of addresses when their files change."""
    database = routing().database
    while True:
        await asyncio.to_thread(database.refresh)
        counters.geoip_broken = database.broken
        await asyncio.sleep(FILES_SECONDS)
