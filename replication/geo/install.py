"""Gives the relay of this process its routing."""

from relay.services import process
from relay.services.runtime import Relay
from relay.views.nearer import regions
from relay.views.public import PUBLIC_VIEWS
from replication.geo.routing import follow_files, follow_regions, routing
from replication.geo.view import route


def install() -> None:
    """The path, the tasks of a worker, and what front page and NIP-11 document say; once in a process that serves."""
    PUBLIC_VIEWS["api/route"] = route
    regions.exist = lambda: routing().knows_places
    regions.nearer = lambda address: routing().nearer(address)
    process.on_start.append(begin)


def begin(relay: Relay) -> None:
    """Start the tasks that keep the routing of a relay."""
    relay.tasks.service(follow_regions(relay), "regions of geo routing")
    relay.tasks.service(follow_files(), "databases of addresses")
