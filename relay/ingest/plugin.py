"""A write-policy plug-in of strfry, unchanged: a program that gets one JSON line an event and answers one.

    in   {"type": "new", "event": {...}, "receivedAt": 1700000000, "sourceType": "IP4", "sourceInfo": "192.0.2.1"}
    out  {"id": "<event id>", "action": "accept" | "reject" | "shadowReject", "msg": "blocked: why"}

`authed` is added, the public key of a client that has logged in. Several events are in flight; answers are matched by
id, in any order. The program is started with the worker. It is started again, after a pause that grows, when it ends;
when it does not answer; and, if the command is a path, when the file changes.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections import deque

import orjson

from relay.background import BackgroundTasks, Task, Turn, cancel
from relay.metrics import counters
from relay.policies.source import Source, SourceKind
from relay.policies.verdict import ACCEPT, SHADOW, Verdict, reject
from relay.protocol.errors import Failed
from relay.protocol.event import Event, StoredEvent

log = logging.getLogger("relay.plugin")

NAME = "write_policy_plugin"
LONGEST_LINE = 65_536
MAX_UNSENT_BYTES = 8_388_608
"""In the pipe to a program that does not read; further events get no verdict."""

MOST_NO_ANSWERS = 1_000
"""Lines in a row that answer nothing; then the program is started again. One that only prints took half a core."""

MOST_MESSAGES = 20
"""Lines of one read of its standard error that are logged."""

ID_LENGTH = 64

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
"""Before another start; doubled each time that the program lived for less than this."""

STOP_SECONDS = 0.5
WATCH_SECONDS = 1.0
"""How often the file's time of change is read."""


class Plugin:
    """One running program. `seconds`: how long an answer may take before the program is considered hung."""

    def __init__(self, command: str, seconds: float, tasks: BackgroundTasks) -> None:
        self._command = command
        self._seconds = seconds
        self._tasks = tasks
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._in_flight: dict[str, deque[asyncio.Future[Verdict]]] = {}
        self._task: Task | None = None
        self._heard = 0.0
        """When it last answered, on the monotonic clock."""

    def start(self) -> None:
        """Start the program; needs a running loop."""
        self._task = self._tasks.service(self._keep(), "write-policy plug-in")

    async def stop(self) -> None:
        """End the program: it has half a second to do so in order."""
        process = self._process
        if process is not None:
            _end(process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
        await cancel([self._task])

    async def __call__(self, event: Event, stored: StoredEvent, source: Source) -> Verdict:
        """The verdict. Raises Failed if the program ends meanwhile or does not read; it is ended if this is cancelled
        by a time-out.
        """
        while (process := self._process) is None or not self._ready.is_set():  # it may end before a waiter's turn
            await self._ready.wait()
        assert process.stdin is not None
        if process.stdin.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            raise Failed("the plug-in does not read")
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._in_flight.setdefault(event.id, deque()).append(answer)
        sent = time.monotonic()
        process.stdin.write(line_of(stored, source, int(time.time()), event.pubkey))
        try:
            return await answer
        except asyncio.CancelledError:
            if process is self._process and self._heard < sent:  # otherwise it is only slow
                log.warning("the plug-in does not answer; it is ended")
                self._ready.clear()
                _end(process, signal.SIGKILL)
            raise
        finally:
            waiting = self._in_flight.get(event.id)
            if waiting is not None and answer in waiting:
                waiting.remove(answer)
                if not waiting:
                    del self._in_flight[event.id]

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            await self._run()
            if time.monotonic() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            counters.plugin_restarts += 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _run(self) -> None:
        """Start the program and serve it until it ends."""
        try:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=LONGEST_LINE,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            log.error("the plug-in cannot be started: %s", error)
            return
        self._process = process
        self._ready.set()
        helpers = [
            self._tasks.for_client(self._read_log(process), "messages of the plug-in"),
            self._tasks.for_client(self._watch(process), "file of the plug-in"),
        ]
        try:
            await self._read_answers(process)
            _end(process, signal.SIGKILL)
            log.warning("the plug-in has ended with code %s", await process.wait())
        finally:
            self._ready.clear()
            self._process = None
            _end(process, signal.SIGKILL)
            self._fail_all()
            await cancel(helpers)
            process._transport.close()  # type: ignore[attr-defined]  # its pipes stay open while something is unread

    async def _read_answers(self, process: Process) -> None:
        assert process.stdout is not None
        turn, in_a_row = Turn(), 0
        while in_a_row < MOST_NO_ANSWERS:
            try:
                line = await process.stdout.readline()
            except ValueError:
                log.warning("the plug-in has written a line of more than %d bytes", LONGEST_LINE)
                return
            if not line:
                return
            in_a_row = 0 if self._take(line) else in_a_row + 1
            await turn.end()
        log.warning("the plug-in has written %d lines in a row that are no answers; it is ended", in_a_row)

    def _take(self, line: bytes) -> bool:
        """Settle the oldest event of the id in this answer; anything else is logged and counted. True for an answer to
        any event, if only to one whose time is over.
        """
        is_answer = False
        try:
            answer = orjson.loads(line)
            action = answer["action"]
            is_answer = len(answer["id"]) == ID_LENGTH
            waiting = self._in_flight[answer["id"]]
            verdict = {"accept": ACCEPT, "shadowReject": SHADOW}.get(action)
            if verdict is None and action == "reject":
                verdict = reject(str(answer.get("msg") or ""))
            if verdict is None:
                raise ValueError(action)
        except (ValueError, KeyError, TypeError):
            counters.policy_failures += 1
            log.warning("the plug-in has written what is no answer: %.200r", line)
            return is_answer
        self._heard = time.monotonic()
        future = waiting.popleft()
        if not waiting:
            del self._in_flight[answer["id"]]
        if not future.done():
            future.set_result(verdict)
        return True

    def _fail_all(self) -> None:
        in_flight, self._in_flight = self._in_flight, {}
        for waiting in in_flight.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(Failed("the plug-in has ended"))

    @staticmethod
    async def _read_log(process: Process) -> None:
        """What the program writes to standard error goes to the log, of a part of it that is read at a time the last
        lines: a program that only prints must not take the loop.
        """
        assert process.stderr is not None
        rest = b""
        while part := await process.stderr.read(LONGEST_LINE):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines[-MOST_MESSAGES:]:
                log.info("plug-in: %s", line[:500].decode(errors="replace").rstrip())
            rest = rest[:500]

    async def _watch(self, process: Process) -> None:
        """End the program when its file has changed, once it has answered what is in flight."""
        if " " in self._command:
            return
        changed = _changed_at(self._command)
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if _changed_at(self._command) == changed:
                continue
            log.info("the plug-in's file has changed; it is started again")
            self._ready.clear()
            if waiting := [future for queue in self._in_flight.values() for future in queue]:
                await asyncio.wait(waiting, timeout=self._seconds)
            _end(process, signal.SIGTERM)
            await asyncio.sleep(STOP_SECONDS)  # cancelled when it has ended
            log.warning("the plug-in does not end; it is killed")
            _end(process, signal.SIGKILL)
            return


def line_of(stored: StoredEvent, source: Source, now: int, author: str) -> bytes:
    """The line that a program is sent."""
    kind, info = _origin(source)
    asked = {"receivedAt": now, "sourceType": kind, "sourceInfo": info}
    if source.proved:
        asked["authed"] = author if author in source.proved else min(source.proved)
    return b'{"type":"new","event":%b,%b\n' % (stored.json.replace(b"\n", b" "), orjson.dumps(asked)[1:])


def _origin(source: Source) -> tuple[str, str]:
    """strfry's sourceType and sourceInfo."""
    if source.kind is SourceKind.PEER:
        return "Stream", source.address
    if source.kind is not SourceKind.CLIENT:
        return "Import", source.address
    with contextlib.suppress(ValueError):
        return f"IP{ipaddress.ip_address(source.address).version}", source.address
    return "IP4", "127.0.0.1"  # a Unix socket, or an address that the proxy did not say


def _changed_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _end(process: Process, number: signal.Signals) -> None:
    """Signal the program and what it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
