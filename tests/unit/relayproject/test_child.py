"""A supervised process: started again whatever ends it, also if the machine refuses to start it."""

import asyncio
import errno
import os
import subprocess
from typing import Any

import pytest

from relayproject.runtime import child
from relayproject.runtime.child import Child
from relayproject.runtime.processes import spawn


async def test_a_process_that_the_machine_does_not_start_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    refusals = [OSError(errno.EAGAIN, "Resource temporarily unavailable")] * 2
    started = asyncio.Event()

    def spawn_later(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        if refusals:
            raise refusals.pop()
        started.set()
        return spawn(*arguments, **options)

    monkeypatch.setattr(child, "spawn", spawn_later)
    monkeypatch.setattr(child, "BACKOFF_SECONDS", (0.01,))
    kept = Child("worker", "timeit", os.environ, 10.0)
    keeping = asyncio.create_task(kept.keep())
    await asyncio.wait_for(started.wait(), 10)
    await kept.stop(10.0, asyncio.Event())
    await asyncio.wait_for(keeping, 10)
    assert "worker did not start" in capfd.readouterr().err
    assert kept.failed_starts == 2
