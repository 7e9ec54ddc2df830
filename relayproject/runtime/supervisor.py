"""The supervisor of `serve`: starts everything in order, restarts what dies, stops in reverse order.

Start order: settings checked, data folder locked, port checked, embedded servers, `prepare`, relay workers; when all
accept connections the address is printed, then Celery worker and beat. A failure before that is reported in one
sentence. Children die with this process even when it is killed (launch.py).
"""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from relay.freshness import ack_table
from relay.transport.listener import addresses
from relayproject import descriptors, env, settings
from relayproject.database_options import most_connections
from relayproject.runtime import metrics_folder
from relayproject.runtime.child import PROJECT, Child
from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.embedded_servers import EmbeddedServers
from relayproject.runtime.errors import StartupError
from relayproject.runtime.processes import end_async, spawn, wait_for_exit
from relayproject.runtime.say import report
from relayproject.validation import problems, remarks

STOP_MARGIN_SECONDS = 2.0  # beyond the drain of connections
PREPARED_WITHIN_SECONDS = 120.0  # how long a machine without the role migrate waits for migrations
MAX_FAILED_STARTS = 3
SAME_REQUEST_SECONDS = 1.0  # signals that come together are one request to stop

Result = TypeVar("Result")


class Stopped(Exception):
    """SIGINT, SIGTERM or SIGHUP came during the start."""


def run(roles: frozenset[str]) -> int:
    """Run `serve` until it is stopped and return the exit code; raises StartupError."""
    found = list(problems(settings))
    if found:
        raise StartupError(" ".join(str(problem) for problem in found))
    for remark in remarks():
        report(str(remark))
    folder = DataFolder(settings.RELAY_DATA_DIR)
    folder.take()
    try:
        too_few = descriptors.shortage(settings, descriptors.raise_limit())
        if "web" in roles:
            if too_few:
                report(f"warning: {too_few}")
            refuse_used_port(settings.RELAY_HOST, settings.RELAY_PORT)
        return asyncio.run(Supervisor(roles, folder).run())
    finally:
        folder.release()


def refuse_used_port(host: str, port: int) -> None:
    """Raise StartupError if the port is in use: workers bind with SO_REUSEPORT and would share it unnoticed."""
    try:
        for family, address in addresses(host, port):
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
                probe.listen(1)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "not a host name"
        reason = "is in use" if getattr(error, "errno", None) == errno.EADDRINUSE else f"cannot be listened on ({why})"
        raise StartupError(
            f"{env.host_and_port(host, port)} {reason}: set RELAY_HOST and RELAY_PORT to an address that is free."
        ) from error


def web_address(scheme: str, path: str = "") -> str:
    """The URL at which this instance listens, as typed on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}.get(settings.RELAY_HOST, settings.RELAY_HOST)  # noqa: S104
    return f"{scheme}://{env.host_and_port(host, settings.RELAY_PORT)}{path}"


OTHER_CLIENTS = 20
"""Connections to the embedded PostgreSQL that are left for psql, backups and the reserved ones."""


def tell(line: str) -> None:
    """Print a line; a reader that has gone (`serve | head -1`) is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        print(line, flush=True)


class Supervisor:
    """One run of `serve` on a locked data folder."""

    def __init__(self, roles: frozenset[str], folder: DataFolder) -> None:
        self._roles = roles
        self._folder = folder
        self._servers = EmbeddedServers(
            folder,
            postgres=not env.text("DATABASE_URL"),
            valkey=not env.text("REDIS_URL"),
            connections=most_connections(settings) + OTHER_CLIENTS,
        )
        self._children: list[Child] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._stop_requested_at = 0.0
        self._start_failed: asyncio.Event = asyncio.Event()
        self._password_line = ""

    async def run(self) -> int:
        """Start, wait for a signal, stop; returns the exit code. Raises StartupError, or SystemExit from `prepare`."""
        self._install_signal_handlers()
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
        self._servers.start()
        self._tasks.append(asyncio.create_task(self._servers.keep()))
        self._folder.announce(self._servers.addresses)
        environment = self._environment()
        await self._prepare(environment)
        if "web" in self._roles:
            await self._start_web(environment)
        self._start_jobs(environment)
        if not self._children:
            self._print_password()
            raise Stopped
        if "web" not in self._roles:
            report(f"running: {', '.join(child.name for child in self._children)}")

    def _environment(self) -> dict[str, str]:
        """The environment of the children: addresses, secret key and folders of this start."""
        environment = {**os.environ, **self._servers.addresses}
        environment["RELAY_SUPERVISED"] = "1"
        environment["RELAY_DATA_DIR"] = str(self._folder.path)
        environment[metrics_folder.VARIABLE] = str(metrics_folder.make(self._folder.path))
        if not env.text("SECRET_KEY"):
            environment["SECRET_KEY"] = self._folder.secret_key()
        return environment

    async def _prepare(self, environment: dict[str, str]) -> None:
        """Run `manage.py prepare`, which reports its own failure."""
        options = [] if "migrate" in self._roles else ["--wait", str(PREPARED_WITHIN_SECONDS)]
        options += ["--show-password"] if sys.stdout.isatty() else []
        process = spawn(
            [sys.executable, "manage.py", "prepare", "--no-color", *options],
            environment=environment,
            folder=PROJECT,
            stdout=subprocess.PIPE,
        )
        try:
            code = await self._unless_stopped(wait_for_exit(process))
        except Stopped:
            await end_async(process, ((signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0)))
            raise
        finally:
            if process.stdout is not None and process.poll() is not None:
                self._password_line = process.stdout.read().decode().strip()
        if code != 0:
            raise SystemExit(1)

    async def _start_web(self, environment: dict[str, str]) -> None:
        shared = ack_table.make(settings.RELAY_WORKERS)
        for number in range(1, settings.RELAY_WORKERS + 1):
            self._keep(
                Child(
                    f"relay worker {number}",
                    "relayproject.runtime.worker",
                    {
                        **environment,
                        "RELAY_WORKER": str(number),
                        "RELAY_PROCESS": f"worker-{number}",
                        "RELAY_ACK_TABLE": str(shared),
                    },
                    settings.RELAY_HEARTBEAT_SECONDS,
                    on_failed_start=self._count_failed_start,
                    descriptors=(shared,),
                )
            )
        await self._unless_stopped(self._all_ready())
        tell(f"relay ready: {web_address('ws')}")
        tell(f"admin: {web_address('http', '/admin/')}")
        self._print_password()

    async def _all_ready(self) -> None:
        failed = asyncio.create_task(self._start_failed.wait())
        for child in self._children:
            ready = asyncio.create_task(child.ready.wait())
            await asyncio.wait({ready, failed}, return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                ready.cancel()
                raise StartupError("A relay worker does not start; its output is above.")
        failed.cancel()

    def _count_failed_start(self, child: Child) -> None:
        if child.failed_starts >= MAX_FAILED_STARTS:
            self._start_failed.set()

    def _start_jobs(self, environment: dict[str, str]) -> None:
        heartbeat = settings.RELAY_HEARTBEAT_SECONDS
        if "worker" in self._roles:
            self._keep(
                Child("Celery worker", "relayproject.runtime.jobs", {**environment, "RELAY_PROCESS": "jobs"}, heartbeat)
            )
            if settings.RELAY_REGION:
                pushing = {**environment, "RELAY_PROCESS": "replication"}
                self._keep(Child("replication worker", "relayproject.runtime.pushes", pushing, heartbeat))
        if "beat" in self._roles:
            self._keep(Child("beat", "relayproject.runtime.beat", {**environment, "RELAY_PROCESS": "beat"}, heartbeat))

    def _keep(self, child: Child) -> None:
        self._children.append(child)
        self._tasks.append(asyncio.create_task(child.keep()))

    def _print_password(self) -> None:
        if self._password_line:
            tell(self._password_line)
            self._password_line = ""

    # -- stop ---------------------------------------------------------------------------------------

    def _install_signal_handlers(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN or number is not signal.SIGHUP:
                loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        """The first signal stops. Further ones within a second are the same request; a later one means impatience.

        `make` forwards the signal that a terminal or systemd has sent to the whole process group already.
        """
        now = time.monotonic()
        if not self._stop.is_set():
            report("stopping")
            self._stop_requested_at = now
            self._stop.set()
        elif now - self._stop_requested_at > SAME_REQUEST_SECONDS:
            self._force.set()

    async def _end(self) -> None:
        """Stop the children, all at once, then the embedded servers; within 10 s in all."""
        self._stop.set()
        self._print_password()
        seconds = settings.RELAY_DRAIN_SECONDS + STOP_MARGIN_SECONDS
        await asyncio.gather(*(child.stop(seconds, self._force) for child in self._children))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._servers.stop_soon(hasty=self._force.is_set())

    async def _unless_stopped(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of `work`; raises Stopped as soon as a signal has come."""
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
