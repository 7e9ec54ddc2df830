"""The supervisor: what is paused, hangs or dies under it, and signals that come to all processes at once."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psycopg
import pytest

from relayproject.runtime.processes import living_in
from tests.acceptance.client import Client
from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.relay_process import PROJECT, RelayProcess, running, wait_for

WORKER = "relayproject.runtime.worker"
JOBS = "relayproject.runtime.jobs"
BEAT = "relayproject.runtime.beat"
HEARTBEAT_SECONDS = 4


@pytest.fixture(scope="module")
def watched_relay(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """One worker and the jobs; what is silent for four seconds is replaced."""
    settings = {"RELAY_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS)}
    with running(RelayProcess(copy_of_migrated("watched"), settings=settings, roles="web,worker,beat")) as relay:
        wait_for(lambda: relay.pids(JOBS) and relay.pids(BEAT), "jobs")
        yield relay


def test_a_paused_supervisor_replaces_no_process_when_it_goes_on(watched_relay: RelayProcess) -> None:
    """Ctrl-Z, a debugger, a host that stops a virtual machine: the processes are paused with it."""
    assert watched_relay.process is not None
    everyone = [
        watched_relay.process.pid,
        *watched_relay.workers(),
        *watched_relay.pids(JOBS),
        *watched_relay.pids(BEAT),
    ]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(HEARTBEAT_SECONDS + 1.5)  # the pause itself: there is nothing to wait for
    os.kill(everyone[0], signal.SIGCONT)
    time.sleep(1.0)  # the supervisor looks before the others can beat
    for pid in everyone[1:]:
        os.kill(pid, signal.SIGCONT)

    assert watched_relay.get("/health")[0] == 200
    assert "hangs" not in watched_relay.messages()
    assert everyone[1:] == [*watched_relay.workers(), *watched_relay.pids(JOBS), *watched_relay.pids(BEAT)]


def test_a_hung_relay_worker_celery_worker_and_beat_are_replaced(watched_relay: RelayProcess) -> None:
    wait_for(lambda: beats(watched_relay), "the first heartbeats of the jobs")
    hung = {module: watched_relay.pids(module)[0] for module in (WORKER, JOBS, BEAT)}
    for pid in hung.values():
        os.kill(pid, signal.SIGSTOP)

    for module, pid in hung.items():
        wait_for(lambda m=module, p=pid: watched_relay.pids(m) not in ([], [p]), f"another {module}")  # type: ignore[misc]
    for name in ("relay worker 1", "Celery worker", "beat"):
        assert f"serve: {name} hangs: no heartbeat for {HEARTBEAT_SECONDS} s; killing it" in watched_relay.messages()
    wait_for(lambda: healthy(watched_relay), "an answer of the new worker")


def test_a_dead_worker_is_replaced_with_a_message(watched_relay: RelayProcess) -> None:
    (worker,) = watched_relay.workers()
    os.kill(worker, signal.SIGKILL)

    wait_for(lambda: healthy(watched_relay), "an answer of a new worker")

    assert worker not in watched_relay.workers()
    assert "serve: relay worker 1 was ended by SIGKILL; starting it again" in watched_relay.messages()


def test_dead_servers_and_jobs_are_started_again(watched_relay: RelayProcess) -> None:
    wait_for(lambda: watched_relay.pids(JOBS) and watched_relay.pids(BEAT), "jobs")
    postmaster = int((watched_relay.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    (valkey,) = living_in(watched_relay.data_dir, "valkey-server")
    jobs, beat = watched_relay.pids(JOBS), watched_relay.pids(BEAT)
    for pid in (postmaster, valkey, *jobs, *beat):
        os.kill(pid, signal.SIGKILL)

    wait_for(lambda: answers(watched_relay.services()["DATABASE_URL"]), "an answer of PostgreSQL")
    wait_for(lambda: set(watched_relay.pids(JOBS)) - set(jobs), "another Celery worker")
    wait_for(lambda: set(watched_relay.pids(BEAT)) - set(beat), "another beat")
    for name in ("PostgreSQL", "Valkey", "Celery worker", "beat"):
        assert f"serve: {name} was ended by SIGKILL; starting it again" in watched_relay.messages()


def healthy(relay: RelayProcess) -> bool:
    """Whether a worker answers."""
    with suppress(OSError):
        return relay.get("/health", seconds=2.0)[0] == 200
    return False


def answers(url: str) -> bool:
    """Whether PostgreSQL accepts a connection."""
    with suppress(psycopg.OperationalError):
        psycopg.connect(url).close()
        return True
    return False


def beats(relay: RelayProcess) -> bool:
    """Whether both processes of the job queue have their heartbeat threads."""
    with suppress(OSError, IndexError):
        return all(len(os.listdir(f"/proc/{relay.pids(module)[0]}/task")) > 1 for module in (JOBS, BEAT))
    return False


@pytest.fixture
def made_relay(prepared_folder: Path) -> Iterator[RelayProcess]:
    """Two workers and the jobs, started by `make run`; its packages are those of the tests."""
    make = shutil.which("make") or "/usr/bin/make"
    command = [make, "-C", str(PROJECT), "-o", ".venv/.run-installed", "run"]
    with running(RelayProcess(prepared_folder, workers=2, command=command)) as relay:
        yield relay


async def test_a_signal_to_every_process_of_make_run_is_one_request_to_stop(made_relay: RelayProcess) -> None:
    """systemd sends SIGTERM to the whole control group, a terminal to the process group; make forwards it once more."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(made_relay.ws_url)) for _ in range(4)]
        for client in clients:
            await client.request("open", {"kinds": [30_000]})

        for pid in made_relay.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

        for client in clients:
            assert await client.closed() == 1012
            assert [message[:2] for message in client.unread if message[0] == "CLOSED"] == [["CLOSED", "open"]]
    made_relay.wait_ended()
    assert "killing" not in made_relay.messages()
    assert made_relay.pids() == []
