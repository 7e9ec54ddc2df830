"""The supervisor of `serve`, as far as no server is needed."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from relayproject.runtime.command import ROLES
from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.postgres import EmbeddedPostgres
from relayproject.runtime.processes import spawn
from relayproject.runtime.supervisor import Supervisor

SECONDS = 10.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataFolder]:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    taken = DataFolder(tmp_path)
    taken.take()
    yield taken
    taken.release()


async def test_a_signal_ends_a_start_that_waits_for_the_recovery_of_postgresql(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    started: list[Popen[bytes]] = []

    def recover(server: EmbeddedPostgres, *_seconds: float) -> None:
        server.process = process = spawn(["/bin/sleep", "60"])
        started.append(process)
        loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(EmbeddedPostgres, "spawn", recover)
    monkeypatch.setattr(EmbeddedPostgres, "answers", lambda _: False)

    assert await asyncio.wait_for(Supervisor(frozenset(ROLES), folder).run(), SECONDS) == 0
    assert [process.poll() is None for process in started] == [False]
