"""What a supervisor leaves to itself when it executes its program anew, so that a new version takes over (roll.py).

The process stays the same: its id, its children and its inheritable descriptors. The names of these pass through one
environment variable. Rule: VERSION grows when the fields or what a worker is told change; another version is refused
before anything is given up.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from typing import NoReturn

import msgspec

from relayproject.runtime.processes import spawn, wait_for_exit

VERSION = 1
VARIABLE = "RELAY_HANDOVER"
CHECK_SECONDS = 60.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
"""Blocked from before the exec until the new program has its handlers."""


class LeftChild(msgspec.Struct, frozen=True):
    """A child that runs: its process and the reading end of its heartbeat."""

    name: str
    pid: int
    pipe: int


class LeftPlace(msgspec.Struct, frozen=True):
    """The place of a relay worker: its number, its listening sockets, and the process, if one runs."""

    number: int
    listeners: list[int]
    child: LeftChild | None


class Left(msgspec.Struct, frozen=True):
    """Descriptors of the lock and of the table of acknowledged positions (-1: no workers), and what runs."""

    lock: int
    ack_table: int
    places: list[LeftPlace]
    jobs: list[LeftChild]
    servers: dict[str, int]
    roll: int
    version: int = VERSION

    def descriptors(self) -> Iterable[int]:
        """All that must stay open."""
        yield self.lock
        if self.ack_table >= 0:
            yield self.ack_table
        for place in self.places:
            yield from place.listeners
        for child in (*(place.child for place in self.places), *self.jobs):
            if child is not None:
                yield child.pipe


def command(*options: str) -> list[str]:
    """This program as it was started: a link to the present version leads to another one after an upgrade."""
    return [sys.executable, *sys.orig_argv[1:], *options]


async def refusal() -> str | None:
    """Why the program as it is on disk now cannot take over; None if it can."""
    try:
        check = spawn(command("--check-handover", str(VERSION)))
    except OSError as error:
        return f"The program on disk does not start ({error}); nothing was changed."
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            code = await wait_for_exit(check)
    except TimeoutError:
        check.kill()
        return f"The program on disk did not answer within {CHECK_SECONDS:g} s; nothing was changed."
    return None if code == 0 else "The program on disk cannot take over, its output says why; nothing was changed."


def execute(left: Left) -> NoReturn:
    """Become the program anew; returns only by raising OSError."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        for descriptor in left.descriptors():
            os.set_inheritable(descriptor, True)
        os.environ[VARIABLE] = msgspec.json.encode(left).decode()
        os.execv(sys.executable, command())  # noqa: S606  no shell is wanted
    finally:
        os.environ.pop(VARIABLE, None)
        for descriptor in left.descriptors():
            os.set_inheritable(descriptor, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def taken_over() -> Left | None:
    """What an earlier program of this process has left; None at an ordinary start. Once only."""
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    left = msgspec.json.decode(text, type=Left)
    for descriptor in left.descriptors():
        os.set_inheritable(descriptor, False)
    return left
