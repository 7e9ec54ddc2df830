"""Starts everything in order, keeps it running, and stops it in the opposite order.

Order: settings are checked, the data folder is locked, the port is looked at, embedded servers start, the database
is prepared, relay workers start; when all accept connections the address is printed, and jobs follow. Every refusal
before that is one sentence. Children die with this process even when it is killed (launch.py).
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from relay.caching import board
from relayproject import env, settings
from relayproject.rules import problems
from relayproject.runtime import metrics_folder
from relayproject.runtime.child import PROJECT, Child, say
from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.processes import end_soon, ended, spawn
from relayproject.runtime.refusal import Refusal
from relayproject.runtime.services import Services

STOP_MARGIN_SECONDS = 2.0  # beyond the drain of connections
PREPARED_WITHIN_SECONDS = 120.0  # how long a machine waits for the one that migrates
HOPELESS_DEATHS = 3

Result = TypeVar("Result")


class Stopped(Exception):
    """A signal asked for the end."""


def run(roles: frozenset[str]) -> int:
    """`serve`: returns the exit code when it is stopped; raises Refusal with a sentence."""
    found = list(problems(settings))
    if found:
        raise Refusal(" ".join(str(problem) for problem in found))
    folder = DataFolder(settings.RELAY_DATA_DIR)
    folder.take()
    try:
        if "web" in roles:
            refuse_used_port(settings.RELAY_HOST, settings.RELAY_PORT)
        return asyncio.run(Supervisor(roles, folder).run())
    finally:
        folder.release()


def refuse_used_port(host: str, port: int) -> None:
    """Raise Refusal unless this machine can listen there alone: with SO_REUSEPORT a stranger's port would be shared."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        reason = "is in use" if error.errno == 98 else f"cannot be listened on ({error.strerror})"
        raise Refusal(f"{host}:{port} {reason}: set RELAY_HOST and RELAY_PORT to an address that is free.") from error


def web_address(scheme: str, path: str = "") -> str:
    """Where this instance listens, as a person on this machine types it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.RELAY_HOST, settings.RELAY_HOST)  # noqa: S104
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.RELAY_PORT}{path}"


class Supervisor:
    """One run of `serve` on a data folder that is taken."""

    def __init__(self, roles: frozenset[str], folder: DataFolder) -> None:
        self._roles = roles
        self._folder = folder
        self._services = Services(folder, postgres=not env.text("DATABASE_URL"), valkey=not env.text("REDIS_URL"))
        self._children: list[Child] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._hasten = asyncio.Event()
        self._hopeless: asyncio.Event = asyncio.Event()
        self._password_line = ""

    async def run(self) -> int:
        self._listen_for_signals()
        try:
            await self._start()
            await self._stop.wait()
        except Stopped:
            pass
        finally:
            await self._end()
        return 0

    # -- start --------------------------------------------------------------------------------------

    async def _start(self) -> None:
        self._services.start()
        self._tasks.append(asyncio.create_task(self._services.keep()))
        self._folder.announce(self._services.addresses)
        environment = self._environment()
        await self._prepare(environment)
        if "web" in self._roles:
            await self._start_web(environment)
        self._start_jobs(environment)
        if not self._children:
            self._print_password()
            raise Stopped
        if "web" not in self._roles:
            say(f"running: {', '.join(child.name for child in self._children)}")

    def _environment(self) -> dict[str, str]:
        """What children see: addresses, key and folder as this start has found them."""
        environment = {**os.environ, **self._services.addresses}
        environment["RELAY_SUPERVISED"] = "1"
        environment["RELAY_DATA_DIR"] = str(self._folder.path)
        environment[metrics_folder.VARIABLE] = str(metrics_folder.make(self._folder.path))
        if not env.text("SECRET_KEY"):
            environment["SECRET_KEY"] = self._folder.secret_key()
        return environment

    async def _prepare(self, environment: dict[str, str]) -> None:
        """Run `manage.py prepare`; it says by itself why it fails."""
        wait = [] if "migrate" in self._roles else ["--wait", str(PREPARED_WITHIN_SECONDS)]
        process = spawn(
            [sys.executable, "manage.py", "prepare", "--no-color", *wait],
            environment=environment,
            folder=PROJECT,
            stdout=subprocess.PIPE,
        )
        try:
            code = await self._unless_stopped(ended(process))
        except Stopped:
            await end_soon(process, ((signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0)))
            raise
        finally:
            if process.stdout is not None and process.poll() is not None:
                self._password_line = process.stdout.read().decode().strip()
        if code != 0:
            raise SystemExit(1)

    async def _start_web(self, environment: dict[str, str]) -> None:
        shared = board.make(settings.RELAY_WORKERS)
        for number in range(1, settings.RELAY_WORKERS + 1):
            self._keep(
                Child(
                    f"relay worker {number}",
                    "relayproject.runtime.worker",
                    {**environment, "RELAY_WORKER": str(number), "RELAY_BOARD": str(shared)},
                    settings.RELAY_HEARTBEAT_SECONDS,
                    on_death=self._give_up_when_hopeless,
                    descriptors=(shared,),
                )
            )
        await self._unless_stopped(self._all_ready())
        print(f"relay ready: {web_address('ws')}", flush=True)
        print(f"admin: {web_address('http', '/admin/')}", flush=True)
        self._print_password()

    async def _all_ready(self) -> None:
        hopeless = asyncio.create_task(self._hopeless.wait())
        for child in self._children:
            ready = asyncio.create_task(child.ready.wait())
            await asyncio.wait({ready, hopeless}, return_when=asyncio.FIRST_COMPLETED)
            if hopeless.done():
                ready.cancel()
                raise Refusal("A relay worker does not start; what it said stands above.")
        hopeless.cancel()

    def _give_up_when_hopeless(self, child: Child) -> None:
        if child.deaths_before_ready >= HOPELESS_DEATHS:
            self._hopeless.set()

    def _start_jobs(self, environment: dict[str, str]) -> None:
        if "worker" in self._roles:
            self._keep(Child("Celery worker", "relayproject.runtime.jobs", environment))
        if "beat" in self._roles:
            self._keep(Child("beat", "relayproject.runtime.beat", environment))

    def _keep(self, child: Child) -> None:
        self._children.append(child)
        self._tasks.append(asyncio.create_task(child.keep()))

    def _print_password(self) -> None:
        if self._password_line:
            print(self._password_line, flush=True)
            self._password_line = ""

    # -- stop ---------------------------------------------------------------------------------------

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN or number is not signal.SIGHUP:
                loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hasten.set()
        else:
            say("stopping")
            self._stop.set()

    async def _end(self) -> None:
        """Children first, all at once, then the servers they use; within 10 s in all."""
        self._stop.set()
        self._print_password()
        seconds = settings.RELAY_DRAIN_SECONDS + STOP_MARGIN_SECONDS
        await asyncio.gather(*(child.stop(seconds, self._hasten) for child in self._children))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._services.stop_soon(hasty=self._hasten.is_set())

    async def _unless_stopped(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of `work`, or Stopped as soon as a signal has come."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        either: set[asyncio.Task[Any]] = {task, stop}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        raise Stopped
