"""Coordination and queries do not wait for each other; a server that is behind or unavailable is skipped."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from relay.background import BackgroundTasks
from relay.protocol.errors import Failed
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage.channel import Parameter, Row
from relay.storage.database import Connection
from relay.storage.fair_queue import INTERNAL
from relay.storage.lanes import Lanes
from relay.storage.primary import Primary
from relay.storage.query_cost import ONE_ROW, Cost
from relay.storage.reads import Reads
from tests.events import unsigned_event
from tests.integration.storage.scribe import Scribe, wait_until_answering

pytestmark = pytest.mark.django_db

EVERYTHING = [parse_filter({"limit": 1}, Limits())]


async def test_the_heartbeat_is_not_late_behind_ten_thousand_queries(reads: Reads, primary: Primary) -> None:
    """2 connections with 4 statements each, so that nearly all of them wait."""
    asking = [asyncio.ensure_future(reads.fetch("SELECT 0::bigint, pg_sleep(0.02)")) for _ in range(9_000)]
    await asyncio.sleep(0)
    assert reads.waiting > 8_000
    late = []
    for _ in range(20):
        begin = time.perf_counter()
        await primary.heartbeat()
        late.append(time.perf_counter() - begin)
    assert reads.waiting > 5_000, "the questions are still there"
    for question in asking:
        question.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert sorted(late)[10] < 0.05


class Scripted(Lanes):
    """A server with answers of the test's."""

    def __init__(self, position: int | None) -> None:
        super().__init__(_nowhere, _nowhere, 1.0, BackgroundTasks(), connections=0, slow_connections=0)
        self.position = position
        self.asked = 0

    async def fetch(
        self,
        text: str,
        parameters: Sequence[Parameter] = (),
        owner: str = INTERNAL,
        cost: Cost = ONE_ROW,
        seconds: float | None = None,
    ) -> list[Row]:
        self.asked += 1
        if self.position is None:
            raise Failed("away")
        return [(self.position.to_bytes(8, "big"), b"\x00", b".")]  # the end of the walk


async def _nowhere() -> Connection:
    raise OSError


async def test_a_query_goes_to_the_first_server() -> None:
    first, second = Scripted(5), Scripted(5)
    assert (await Reads([first, second]).query(EVERYTHING)).position == 5
    assert (first.asked, second.asked) == (1, 0)


async def test_a_server_behind_the_requested_position_is_skipped() -> None:
    behind, primary = Scripted(4), Scripted(6)
    assert (await Reads([behind, primary]).query(EVERYTHING, least=5)).position == 6


async def test_an_unavailable_server_is_skipped() -> None:
    assert (await Reads([Scripted(None), Scripted(6)]).query(EVERYTHING)).position == 6


async def test_a_query_fails_if_no_server_can_answer() -> None:
    with pytest.raises(Failed):
        await Reads([Scripted(None), Scripted(4)]).query(EVERYTHING, least=5)


@pytest.fixture
async def two_servers(scribe: Scribe) -> AsyncIterator[Reads]:
    """The same server twice: the second takes over when the first one's connections are closed."""
    parts = [Reads.of_primary(1, 5.0)._servers[0] for _ in range(2)]
    reads = Reads(parts)
    reads.open()
    await wait_until_answering(reads)
    yield reads
    await reads.close()


async def test_queries_continue_when_the_first_server_stops(two_servers: Reads, scribe: Scribe) -> None:
    await scribe.write(unsigned_event(content="one"))
    assert len((await two_servers.query(EVERYTHING)).events) == 1
    await two_servers._servers[1].until_connected(5)
    await two_servers._servers[0].close()
    assert len((await two_servers.query(EVERYTHING)).events) == 1
