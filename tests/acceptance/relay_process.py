"""A whole relay for tests: `manage.py serve` in a folder of its own, on a free port, stopped without a trace.

    relay = RelayProcess(tmp_path / "var", workers=2, settings={"RELAY_MAX_LIMIT": "100"})
    relay.start()          # returns when "relay ready" is printed
    relay.ws_url, relay.http_url, relay.process, relay.output(), relay.messages()
    relay.stop()           # exit code

It sees nothing of the environment of the tests but the basics, so it starts servers of its own.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from relayproject.runtime.processes import bound_command, living_in
from tests.ports import free_port

PROJECT = Path(__file__).resolve().parent.parent.parent
SERVE = (sys.executable, str(PROJECT / "manage.py"), "serve")
MARK = "TEST_RELAY_MARK"
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START")
START_SECONDS = 60.0
STOP_SECONDS = 10.0


def clean_environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a fresh shell, with `settings` and without those of the tests."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | dict(settings or {})


def wait_for(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Return as soon as `condition` holds; AssertionError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextlib.contextmanager
def running(relay: "RelayProcess") -> Iterator["RelayProcess"]:
    """Start a relay, and leave nothing of it at the end."""
    with all_running(relay):
        yield relay


@contextlib.contextmanager
def all_running(*relays: "RelayProcess") -> Iterator[None]:
    """Start relays at once; where one migrates, the others wait for it. Leave nothing of them at the end."""
    try:
        for relay in relays:
            relay.launch()
        for relay in relays:
            relay.wait_ready()
        yield
    finally:
        for relay in reversed(relays):
            relay.destroy()


class RelayProcess:
    """One `serve`. Nothing runs before `start()` or `launch()`; `process` is the supervisor.

    identity: how launch.py starts it (`self`, or another user). settings: variables of the environment. command: in
    place of `manage.py serve`, its program as an absolute path.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        workers: int = 1,
        roles: str = "",
        settings: Mapping[str, str] | None = None,
        identity: str = "self",
        command: Sequence[str] = SERVE,
    ) -> None:
        self.data_dir = data_dir
        self.port = int((settings or {}).get("RELAY_PORT", 0)) or free_port()
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self.http_url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None
        self._roles = ["--roles", roles] if roles else []
        self._identity = identity
        self._command = [*command]
        self._mark = uuid.uuid4().hex
        self._settings = {
            "RELAY_DATA_DIR": str(data_dir),
            "RELAY_PORT": str(self.port),
            "RELAY_WORKERS": str(workers),
            MARK: self._mark,
            **(settings or {}),
        }
        self._streams: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._readers: list[threading.Thread] = []

    # -- start and stop -----------------------------------------------------------------------------

    def launch(self) -> None:
        """Start it without waiting; call it from the main thread (the kernel ends it with that thread)."""
        self._streams = {"stdout": [], "stderr": []}
        command = [*self._command, *self._roles]
        self.process = subprocess.Popen(
            bound_command(command, death_signal=signal.SIGTERM, run_as=self._identity),
            env=clean_environment(self._settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
        )
        self._readers = [threading.Thread(target=self._read, args=(name,), daemon=True) for name in self._streams]
        for reader in self._readers:
            reader.start()

    def start(self, seconds: float = START_SECONDS) -> "RelayProcess":
        """Start it and wait until it accepts connections."""
        self.launch()
        self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        wait_for(lambda: self.is_ready() or self.has_ended(), "relay ready", seconds)
        assert self.is_ready(), f"serve ended before it was ready:\n{self.messages()}"

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = STOP_SECONDS) -> int:
        """Send the signal and return the exit code; AssertionError when it takes longer."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait_ended(seconds)

    def wait_ended(self, seconds: float = STOP_SECONDS) -> int:
        """The exit code, as soon as it has ended by itself."""
        assert self.process is not None
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"serve did not end within {seconds:g} s:\n{self.messages()}") from None
        for reader in self._readers:
            reader.join(2.0)
        return code

    def destroy(self) -> None:
        """End whatever is left, without asking; for the end of a test that has failed."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(STOP_SECONDS)

    # -- what it says -------------------------------------------------------------------------------

    def output(self) -> str:
        """Standard output so far: the addresses, and once ever the password."""
        return "".join(self._streams["stdout"])

    def messages(self) -> str:
        """Standard error so far, that of the children included."""
        return "".join(self._streams["stderr"])

    def is_ready(self) -> bool:
        return f"relay ready: {self.ws_url}\n" in self.output()

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def password(self) -> str | None:
        """The generated password of the first administrator, when this start made it."""
        found = re.search(r"^administrator: admin, password in (.+) \(", self.output(), re.MULTILINE)
        return Path(found[1]).read_text().strip() if found else None

    def get(self, path: str, headers: Mapping[str, str] | None = None, seconds: float = 5.0) -> tuple[int, str]:
        """Status and text of an HTTP answer."""
        request = urllib.request.Request(self.http_url + path, headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    # -- its processes ------------------------------------------------------------------------------

    def pids(self, module: str = "") -> list[int]:
        """Its processes that live: all, or those that run a Python module such as relayproject.runtime.worker."""
        found = [pid for pid in self._marked() if alive(pid) and (not module or self._runs(pid, module))]
        return found if module else sorted({*found, *self._servers()})

    def workers(self) -> list[int]:
        """Ids of the relay workers."""
        return self.pids("relayproject.runtime.worker")

    def services(self) -> dict[str, str]:
        """DATABASE_URL and REDIS_URL of its embedded servers, while it runs."""
        import json

        return dict(json.loads((self.data_dir / "services.json").read_text()))

    def _servers(self) -> list[int]:
        """The embedded servers; they write over their environment, so they are known by their folders."""
        found = [*living_in(self.data_dir / "postgres", "postgres"), *living_in(self.data_dir, "valkey-server")]
        return [pid for pid in found if alive(pid)]

    def _marked(self) -> Iterator[int]:
        wanted = f"{MARK}={self._mark}".encode()
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and wanted in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)

    @staticmethod
    def _runs(pid: int, module: str) -> bool:
        with contextlib.suppress(OSError):
            arguments: Sequence[bytes] = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return b"-m" in arguments[:2] and module.encode() in arguments
        return False

    def _read(self, name: str) -> None:
        stream = getattr(self.process, name)
        for line in stream:
            self._streams[name].append(line)
