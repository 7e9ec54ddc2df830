"""`python -m tests.benchmarks.routing FILE ...`: what geo routing costs, with databases of addresses (MMDB files).

Seconds of one core, as the process has used them, so that others on the machine change little: for the look-up of a
place, for a decision among eight regions, and for the view of `/api/route`. Addresses are random ones of the public
IPv4 space.
"""

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relayproject.settings")
django.setup()

from django.http import HttpRequest  # noqa: E402  needs the settings
from django.test import RequestFactory  # noqa: E402

from replication.geo import view  # noqa: E402
from replication.geo.choice import Region  # noqa: E402
from replication.geo.database import GeoDatabase  # noqa: E402
from replication.geo.routing import Routing  # noqa: E402
from replication.geo.sphere import Place  # noqa: E402

LOOK_UPS = 100_000
ANSWERS = 2_000
ROUNDS = 5
PLACES = (
    (38.9, -77.4),
    (45.8, -119.7),
    (-23.5, -46.6),
    (50.1, 8.7),
    (-26.2, 28.0),
    (1.3, 103.8),
    (35.7, 139.7),
    (-33.9, 151.2),
)


def addresses(number: int) -> list[str]:
    """The same in each run."""
    source = random.Random(1)
    return [".".join(map(str, (source.randrange(1, 224), *source.randbytes(3)))) for _ in range(number)]


def fastest(work: Callable[[], None], number: int) -> float:
    """Seconds of the core for one of `number`, in the best of the rounds."""
    found = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        found.append((time.process_time() - begin) / number)
    return min(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.routing", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="MMDB files with coordinates, asked in their order")
    with tempfile.TemporaryDirectory() as copies:
        routing = Routing(GeoDatabase(parser.parse_args().files, Path(copies)), "")
        routing.database.refresh()
        for file in routing.database.files:
            print(f"{file.path.name}: {file.fault or 'in use'}")
        routing.regions = [
            Region(f"region-{number}", ("wss://relay.example.com",), Place(*place), heard_at=2.0**40)
            for number, place in enumerate(PLACES)
        ]
        view.__dict__["routing"] = lambda: routing
        asked = addresses(LOOK_UPS)
        requests = [RequestFactory().get("/api/route", REMOTE_ADDR=address) for address in asked[:ANSWERS]]
        show("look-up of a place", fastest(lambda: look_up(routing, asked), LOOK_UPS))
        show("decision among eight regions", fastest(lambda: decide(routing, asked), LOOK_UPS))
        show("view of /api/route", fastest(lambda: asyncio.run(answer(requests)), ANSWERS))


def look_up(routing: Routing, asked: Sequence[str]) -> None:
    """Each address in the databases."""
    for address in asked:
        routing.database.place_of(address)


def decide(routing: Routing, asked: Sequence[str]) -> None:
    """The region of each address."""
    for address in asked:
        routing.decide(address)


async def answer(requests: Sequence[HttpRequest]) -> None:
    """The response to each request."""
    for request in requests:
        await view.route(request)


def show(what: str, seconds: float) -> None:
    """One line."""
    print(f"{what:30} {seconds * 1e6:7.1f} us, {1 / seconds:9,.0f} a second on one core")


if __name__ == "__main__":
    main()
