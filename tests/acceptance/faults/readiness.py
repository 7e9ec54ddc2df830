"""What /ready says, of all workers: each request may reach another one."""

import asyncio
import time

from tests.acceptance.relay_process import RelayProcess

REQUESTS = 12
"""Of two workers both are met by so many, but for once in two thousand times."""


async def say_ready(relay: RelayProcess, status: int, seconds: float) -> None:
    """Wait until every worker answers /ready with this status."""
    deadline = time.monotonic() + seconds
    while await asyncio.to_thread(_statuses, relay) != {status}:
        assert time.monotonic() < deadline, f"/ready did not say {status} on all workers within {seconds:g} s"


def _statuses(relay: RelayProcess) -> set[int]:
    return {relay.get("/ready")[0] for _ in range(REQUESTS)}
