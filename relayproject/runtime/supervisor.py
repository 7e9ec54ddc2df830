"""The supervisor of `serve`: starts everything in order, restarts what dies, stops in reverse order.

Start order: settings checked, data folder locked, port checked, embedded servers, `prepare`, relay workers; when all
accept connections the address is printed, then Celery worker and beat. A failure before that is reported in one
sentence. Children die with this process even when it is killed (launch.py).
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

from relayproject import descriptors, env, settings
from relayproject.database_connections import most_connections
from relayproject.runtime import handover, metrics_folder, notify, roll
from relayproject.runtime.address import refuse_used_port, web_address
from relayproject.runtime.child import PROJECT, Child
from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.embedded_servers import EmbeddedServers
from relayproject.runtime.errors import StartupError
from relayproject.runtime.handover import Left
from relayproject.runtime.job_processes import JobProcesses
from relayproject.runtime.processes import end_async, spawn, wait_for_exit
from relayproject.runtime.say import report
from relayproject.runtime.stopping import Stopped, StopRequest
from relayproject.runtime.web import WebWorkers
from relayproject.validation import problems, remarks

STOP_MARGIN_SECONDS = 2.5  # beyond the drain of connections
SERVERS_SECONDS = 5.0  # for the embedded servers to stop
PREPARED_WITHIN_SECONDS = 120.0  # how long a machine without the role migrate waits for migrations
OTHER_CLIENTS = 20  # connections to the embedded PostgreSQL that are left for psql, backups and the reserved ones


def run(roles: frozenset[str]) -> int:
    """Run `serve` until it is stopped and return the exit code; raises StartupError."""
    found = list(problems(settings))
    if found:
        raise StartupError(" ".join(str(problem) for problem in found))
    for remark in remarks():
        report(str(remark))
    left = handover.taken_over()
    signal.signal(roll.ROLL, signal.SIG_IGN)  # until it can be begun: it would end the process
    folder = DataFolder(settings.RELAY_DATA_DIR)
    if left is None:
        folder.take()
    else:
        folder.inherit(left.lock)
    try:
        too_few = descriptors.shortage(settings, descriptors.raise_limit())
        if "web" in roles:
            if too_few:
                report(f"warning: {too_few}")
            if left is None:
                refuse_used_port(settings.RELAY_HOST, settings.RELAY_PORT)
        return asyncio.run(Supervisor(roles, folder, left).run())
    finally:
        folder.release()


def tell(line: str) -> None:
    """Print a line; a reader that has gone (`serve | head -1`) is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        print(line, flush=True)


class Supervisor:
    """One run of `serve` on a locked data folder."""

    def __init__(self, roles: frozenset[str], folder: DataFolder, left: Left | None = None) -> None:
        """`left`: by an earlier program of this process, which this one replaces (roll.py)."""
        self._roles = roles
        self._folder = folder
        self._left = left
        self._servers = EmbeddedServers(
            folder,
            postgres=not env.text("DATABASE_URL"),
            valkey=not env.text("REDIS_URL"),
            connections=2 * most_connections(settings) + OTHER_CLIENTS,  # during a roll there are twice as many workers
        )
        self._children: list[Child] = []
        self._web: WebWorkers | None = None
        self._jobs = JobProcesses(roles, self._keep)
        self._tasks: list[asyncio.Task[None]] = []
        self._started = False
        self._rolling: asyncio.Task[None] | None = None
        self._stop = StopRequest()
        self._password_line = ""

    async def run(self) -> int:
        """Start, wait for a signal, stop; returns the exit code. Raises StartupError, or SystemExit from `prepare`."""
        self._stop.install()
        asyncio.get_running_loop().add_signal_handler(roll.ROLL, self._on_roll)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handover.SIGNALS)
        try:
            await (self._start() if self._left is None else self._go_on(self._left))
            self._started = True
            notify.ready()
            await self._stop.made.wait()
        except Stopped:
            pass
        finally:
            await self._end()
        return 0

    # -- start --------------------------------------------------------------------------------------

    async def _start(self) -> None:
        await self._stop.unless_made(self._servers.start_soon())
        self._tasks.append(asyncio.create_task(self._servers.keep()))
        self._folder.announce(self._servers.addresses)
        environment = self._environment()
        if not await self._prepare(environment):
            raise SystemExit(1)
        if "web" in self._roles:
            await self._start_web(environment)
        self._jobs.start(environment)
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
        folder = metrics_folder.make(self._folder.path, keep=self._left is not None)
        environment[metrics_folder.VARIABLE] = str(folder)
        if not env.text("SECRET_KEY"):
            environment["SECRET_KEY"] = self._folder.secret_key()
        return environment

    async def _prepare(self, environment: dict[str, str]) -> bool:
        """Run `manage.py prepare`, which reports its own failure; whether it succeeded."""
        options = [] if "migrate" in self._roles else ["--wait", str(PREPARED_WITHIN_SECONDS)]
        options += ["--show-password"] if sys.stdout.isatty() else []
        process = spawn(
            [sys.executable, "manage.py", "prepare", "--no-color", *options],
            environment=environment,
            folder=PROJECT,
            stdout=subprocess.PIPE,
        )
        telling = asyncio.create_task(notify.while_starting())  # migrations may take long; ended, they would begin anew
        try:
            code = await self._stop.unless_made(wait_for_exit(process))
        except Stopped:
            await end_async(process, ((signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0)))
            raise
        finally:
            telling.cancel()
            if process.stdout is not None and process.poll() is not None:
                self._password_line = process.stdout.read().decode().strip()
        return code == 0

    async def _start_web(self, environment: dict[str, str]) -> None:
        self._web = WebWorkers(environment, self._keep)
        await self._stop.unless_made(self._web.start())
        tell(f"relay ready: {web_address('ws')}")
        tell(f"admin: {web_address('http', '/admin/')}")
        self._print_password()

    def _keep(self, child: Child) -> None:
        self._children.append(child)
        self._tasks.append(asyncio.create_task(child.keep()))

    def _print_password(self) -> None:
        if self._password_line:
            tell(self._password_line)
            self._password_line = ""

    # -- roll: this program is executed anew, and the new one replaces the processes ----------------------

    def _on_roll(self) -> None:
        if not self._started or self._stop.made.is_set() or (self._rolling is not None and not self._rolling.done()):
            report("a roll is asked for, and not begun: the relay starts, stops, or rolls")
            return
        self._rolling = asyncio.create_task(self._hand_over(roll.progress(self._folder.path).number + 1))

    def _note(self, number: int, state: str, text: str = "") -> None:
        report(f"roll: {text or state}")
        with contextlib.suppress(OSError):  # a full disk: it goes on all the same
            roll.note(self._folder.path, roll.Progress(number, state, text))

    async def _hand_over(self, number: int) -> None:
        """Execute this program anew, if what is on disk now can take over."""
        self._note(number, "checking", "checking the program")
        try:
            text = await handover.refusal()
            if self._stop.made.is_set():
                return  # the new program would not know of it
            if text is None:
                handover.execute(self._to_leave(number))
        except OSError as error:
            text = f"The program on disk cannot be executed ({error}); nothing was changed."
        self._note(number, roll.FAILED, text)

    def _to_leave(self, number: int) -> Left:
        places, table = ([], -1) if self._web is None else (self._web.left(), self._web.table)
        os.environ["RELAY_WORKERS"] = str(settings.RELAY_WORKERS)  # the number of cores may be another now
        return Left(self._folder.lock, table, places, self._jobs.left(), self._servers.pids(), number)

    async def _go_on(self, left: Left) -> None:
        """Keep what the earlier program has left, and begin to replace it."""
        self._servers.inherit(left.servers)
        self._tasks.append(asyncio.create_task(self._servers.keep()))
        environment = self._environment()
        if left.ack_table >= 0:
            self._web = WebWorkers(environment, self._keep, left.ack_table)
            self._web.inherit(left.places)
        self._jobs.start(environment, left.jobs)
        self._rolling = asyncio.create_task(self._replace(left.roll, environment))

    async def _replace(self, number: int, environment: dict[str, str]) -> None:
        """Replace workers and jobs; whatever goes wrong, those that run go on."""
        try:
            self._note(number, "replacing", "preparing the database")
            if not await self._prepare(environment):
                raise StartupError(
                    "The database could not be prepared, the log says why; the processes are the old ones."
                )
            if self._web is not None:
                await self._replace_web(self._web, number)
            self._note(number, "replacing", "replacing the jobs")
            await self._stop_children(self._jobs.children)
            self._jobs.start(environment)
            self._note(number, roll.DONE)
        except Stopped:
            self._note(number, roll.FAILED, "The relay was stopped meanwhile.")
        except Exception as error:
            self._note(number, roll.FAILED, f"{error}" if isinstance(error, StartupError) else f"{error!r}")

    async def _replace_web(self, web: WebWorkers, number: int) -> None:
        old: list[Child] = []
        try:
            await web.replace(old, lambda text: self._note(number, "replacing", text))
        finally:
            if old and not self._stop.made.is_set():
                self._note(number, "replacing", "closing the connections of the old workers")
                await self._stop_children(old)

    async def _stop_children(self, children: list[Child]) -> None:
        await asyncio.gather(*(child.stop(self._stop_seconds, self._stop.force) for child in children))
        self._children = [child for child in self._children if child not in children]
        self._tasks = [task for task in self._tasks if not task.done()]

    # -- stop ---------------------------------------------------------------------------------------

    async def _end(self) -> None:
        """Stop the children, all at once, then the embedded servers; by default within 10 s in all."""
        self._stop.made.set()
        notify.stopping(self._stop_seconds + SERVERS_SECONDS)
        self._print_password()
        if self._rolling is not None:
            self._rolling.cancel()
            await asyncio.gather(self._rolling, return_exceptions=True)
        if self._web is not None:
            self._web.close_listeners()
        await asyncio.gather(*(child.stop(self._stop_seconds, self._stop.force) for child in self._children))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._servers.stop_soon(hasty=self._stop.force.is_set())

    @property
    def _stop_seconds(self) -> float:
        """How long a child may take to stop."""
        return settings.RELAY_LEAVE_SECONDS + settings.RELAY_DRAIN_SECONDS + STOP_MARGIN_SECONDS
