"""The request to stop `serve`, and what a start gives up for it."""

import asyncio

import pytest

from relayproject.runtime.stopping import Stopped, StopRequest


async def test_work_that_ends_before_the_request_has_its_result() -> None:
    assert await StopRequest().unless_made(asyncio.sleep(0, "done")) == "done"


async def test_work_that_is_under_way_at_the_request_is_cancelled() -> None:
    stop, cancelled = StopRequest(), asyncio.Event()

    async def work() -> None:
        asyncio.get_running_loop().call_soon(stop.made.set)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(Stopped):
        await stop.unless_made(work())
    assert cancelled.is_set()
