"""Coordination and queries do not wait for each other; what the primary cannot answer fails."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from relay.background import BackgroundTasks
from relay.protocol.errors import Failed
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage.database import Connection
from relay.storage.fair_queue import INTERNAL
from relay.storage.lanes import Lanes
from relay.storage.primary import Primary
from relay.storage.query_cost import ONE_ROW, Cost
from relay.storage.reads import Reads
from relay.storage.request import Parameter, Row, Shared

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
        *,
        shared: Shared | None = None,
    ) -> list[Row]:
        self.asked += 1
        if self.position is None:
            raise Failed("away")
        return [(self.position.to_bytes(8, "big"), b"\x00", b".")]  # the end of the walk


async def _nowhere() -> Connection:
    raise OSError


async def test_a_query_fails_if_the_primary_cannot_answer() -> None:
    with pytest.raises(Failed):
        await Reads(Scripted(None)).query(EVERYTHING)


async def test_a_query_fails_if_the_primary_is_behind_the_requested_position() -> None:
    with pytest.raises(Failed):
        await Reads(Scripted(4)).query(EVERYTHING, least=5)
