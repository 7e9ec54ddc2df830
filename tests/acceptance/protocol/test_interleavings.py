"""Random interleavings over two processes and a shared cache (X-7, 09-17): each answer is the oracle's for its reader.

TEST_INTERLEAVINGS sets how many runs of each kind are tried; they are then drawn anew each time.
"""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.acceptance.faults.outages import OwnServers
from tests.acceptance.protocol.interleaving import SETTINGS, Cast, Run
from tests.acceptance.protocol.places import Cache, Place
from tests.acceptance.relay_process import RelayProcess, all_running
from tests.integration.storage.gone import served

RUNS = int(os.environ.get("TEST_INTERLEAVINGS", "4"))
STEPS = 12

pytestmark = pytest.mark.timeout(max(120, 20 * RUNS))

runs = settings(
    max_examples=RUNS,
    deadline=None,
    database=None,
    derandomize="TEST_INTERLEAVINGS" not in os.environ,
    phases=[Phase.generate],  # what depends on time does not shrink; the trace says what happened
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", params=["two workers", "two instances"])
def places(
    request: pytest.FixtureRequest, servers: OwnServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Place]]:
    """Workers that share acknowledged positions in memory, with pages; or instances, one with a window."""
    relays: list[RelayProcess] = []
    for name, window in (("one", "0"), ("two", "67108864"))[: 1 if request.param == "two workers" else 2]:
        own = {"RELAY_INSTANCE": name, "RELAY_WINDOW_BYTES": window, **SETTINGS, **servers.settings}
        workers = 2 if request.param == "two workers" else 1
        folder = tmp_path_factory.mktemp(name) / "var"
        relays.append(RelayProcess(folder, workers=workers, roles="web", settings=own))
    with all_running(*relays):
        yield [Place(relay, pid) for relay in relays for pid in relay.workers()]


@runs
@given(data=st.data())
def test_x_7_each_answer_is_the_oracles_whatever_becomes_of_processes_and_cache(
    places: list[Place], servers: OwnServers, data: Any
) -> None:
    """One process is paused, killed, or told last; the cache is cut, hung, or filled with what it held before."""

    async def play() -> None:
        async with Run(data.draw, places, Cache(servers)) as run:
            for _ in range(STEPS):
                await run.step()
            await run.resume()
            await run.ask(4)

    asyncio.run(play())


@runs
@given(data=st.data())
def test_09_17_every_order_of_arrival_at_two_processes_ends_in_the_same_served_set(
    places: list[Place], servers: OwnServers, data: Any
) -> None:
    """Sets of versions and deletions, and of versions and requests to vanish: around those, what came in between counts
    (62-2, 62-6). Each event is sent to either process, all of them at once.
    """

    async def play() -> None:
        async with Run(data.draw, places, Cache(servers)) as run:
            cast: Cast = run.cast
            vanishing = cast.one([True, False])
            events = [cast.event(expiring=False, deletions=not vanishing) for _ in range(9)]
            if vanishing:
                events = [event for event in events if event["kind"] != 1_059] + [cast.vanish(), cast.vanish()]
            events = list({event["id"]: event for event in events}.values())
            order = data.draw(st.permutations(events))
            assert served(order).ids() == served(sorted(events, key=lambda event: str(event["id"]))).ids()
            await run.arrive(order)
            await run.ask(6)

    asyncio.run(play())
