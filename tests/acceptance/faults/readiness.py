"""What /ready says, of all workers: each request may reach another one."""

import asyncio
import json
import time

from tests.acceptance.relay_process import RelayProcess

REQUESTS = 12
"""Of two workers both are met by so many, but for once in two thousand times."""


async def say_ready(relay: RelayProcess, status: int, seconds: float) -> None:
    """Wait until every worker answers /ready with this status."""
    deadline = time.monotonic() + seconds
    while await asyncio.to_thread(_statuses, relay) != {status}:
        assert time.monotonic() < deadline, f"/ready did not say {status} on all workers within {seconds:g} s"


async def say_degraded(relay: RelayProcess, expected: bool, seconds: float, what: str = "the bus") -> None:
    """Wait until every worker says that it is ready, and that `what` is down, or that it is not."""
    deadline = time.monotonic() + seconds
    while await asyncio.to_thread(_faults, relay, what) != {expected}:
        assert time.monotonic() < deadline, f"degraded was not {expected} on all workers within {seconds:g} s"


def _faults(relay: RelayProcess, what: str) -> set[bool]:
    answers = [relay.get("/ready") for _ in range(REQUESTS)]
    assert {status for status, _ in answers} == {200}
    return {any(what in fault for fault in json.loads(text)["degraded"]) for _, text in answers}


def _statuses(relay: RelayProcess) -> set[int]:
    return {relay.get("/ready")[0] for _ in range(REQUESTS)}
