"""The processes that verify lines, and which of them gets a chunk."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from relay.transfer.verifier import Settings, Verified, decode_verified, frame

PROJECT = Path(__file__).resolve().parents[2]
"""Where Python finds the package `relay`, wherever the command was started."""


class VerifierDied(Exception):
    """a verifying process has ended unexpectedly"""


class Verifiers:
    """`processes` verifiers, with one chunk each at a time."""

    def __init__(self, settings: Settings, processes: int) -> None:
        self._settings = settings
        self._processes = processes
        self._started: list[Process] = []
        self._idle: asyncio.Queue[Process] = asyncio.Queue()

    async def start(self) -> None:
        """Start the processes. They do not get the terminal's Ctrl-C."""
        for _ in range(self._processes):
            command = (sys.executable, "-m", "relay.transfer.verifier", self._settings.text())
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, start_new_session=True, cwd=PROJECT
            )
            self._started.append(process)
            self._idle.put_nowait(process)

    async def verify(self, lines: Sequence[bytes]) -> Verified:
        """Have the next free process verify these lines. Raises VerifierDied."""
        process = await self._idle.get()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(frame(lines))
            await process.stdin.drain()
            head = await process.stdout.readexactly(4)
            answer = await process.stdout.readexactly(int.from_bytes(head, "big"))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise VerifierDied(f"a verifying process ended with code {await _end_of(process)}") from error
        self._idle.put_nowait(process)
        return decode_verified(answer)

    async def stop(self) -> None:
        """End the processes; what they were verifying is lost."""
        for process in self._started:
            with suppress(ProcessLookupError):
                process.kill()
        for process in self._started:
            await _end_of(process)


async def _end_of(process: Process) -> int:
    """The code of a process that has ended, or was killed.

    Its output is read to the end and dropped: `wait` alone never returns while more of it is unread than a StreamReader
    buffers, as after a verification that was cancelled.
    """
    await process.communicate()
    return await process.wait()
