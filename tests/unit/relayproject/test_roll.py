"""The request for a roll, and what a supervisor leaves to the program that follows it."""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relayproject.runtime import handover, notify, roll
from relayproject.runtime.child import Child
from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.handover import Left, LeftChild, LeftPlace
from relayproject.runtime.processes import Inherited, spawn
from relayproject.runtime.stopping import Stopped
from relayproject.runtime.supervisor import Supervisor

HOLDER = """
import fcntl, os, sys, time
lock = open(sys.argv[1], "r+")
fcntl.flock(lock, fcntl.LOCK_EX)
print(os.getpid(), file=lock, flush=True)
print("locked", flush=True)
time.sleep(60)
"""
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the lock of the data folder open."""
    with (tmp_path / "serve.lock").open("w") as lock, subprocess.Popen(SLEEPER, stdin=lock) as process:
        yield process
        process.kill()


@pytest.fixture
def locked(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> Iterator[Path]:
    """A data folder on which a process seems to serve."""
    with (tmp_path / "serve.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{sleeper.pid}\n")
        file.flush()
        yield tmp_path


def test_without_a_serve_there_is_nothing_to_roll(tmp_path: Path) -> None:
    with pytest.raises(roll.RollError, match="No relay runs"):
        roll.roll(tmp_path, 1.0)
    (tmp_path / "serve.lock").write_text("1\n")
    with pytest.raises(roll.RollError, match="No relay runs"):
        roll.roll(tmp_path, 1.0)


def test_a_process_that_has_only_the_number_of_a_supervisor_in_another_container_gets_no_signal(locked: Path) -> None:
    with subprocess.Popen(SLEEPER) as other:
        (locked / "serve.lock").write_text(f"{other.pid}\n")
        with pytest.raises(roll.RollError, match="another container"):
            roll.roll(locked, 1.0)
        assert other.poll() is None
        other.kill()


def test_a_relay_in_another_user_namespace_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """systemd's PrivateUsers: the relay and the command of ExecReload may not look at each other."""

    def refuse(path: str) -> list[str]:
        raise PermissionError(path)

    lock = tmp_path / "serve.lock"
    lock.touch()
    with subprocess.Popen([sys.executable, "-c", HOLDER, lock], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        monkeypatch.setattr(os, "listdir", refuse)
        assert roll.running(tmp_path) == holder.pid
        lock.write_text(f"{os.getppid()}\n")
        with pytest.raises(roll.RollError, match="another container"):
            roll.running(tmp_path)
        holder.kill()


def test_the_folder_of_another_user_is_not_taken_for_one_without_a_relay(locked: Path) -> None:
    (locked / "serve.lock").chmod(0)
    as_root = os.geteuid() == 0
    try:
        if as_root:
            os.seteuid(65_534)
        with pytest.raises(roll.RollError, match="cannot be read: ask as the user of the relay"):
            roll.roll(locked, 1.0)
    finally:
        if as_root:
            os.seteuid(0)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Supervisor:
    """One that runs nothing."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/relay")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    return Supervisor(frozenset(), DataFolder(tmp_path))


async def test_a_stop_that_comes_while_the_program_is_checked_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor
) -> None:
    async def accept() -> None:
        supervisor._stop.made.set()

    executed: list[Left] = []
    monkeypatch.setattr(handover, "refusal", accept)
    monkeypatch.setattr(handover, "execute", executed.append)
    await supervisor._hand_over(1)
    assert executed == []


async def test_a_roll_that_a_stop_ends_says_so(
    monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor, tmp_path: Path
) -> None:
    async def prepare(_self: Supervisor, _environment: dict[str, str]) -> bool:
        raise Stopped

    monkeypatch.setattr(Supervisor, "_prepare", prepare)
    await supervisor._replace(1, {})
    assert roll.progress(tmp_path) == roll.Progress(1, roll.FAILED, "The relay was stopped meanwhile.")


def answer(monkeypatch: pytest.MonkeyPatch, folder: Path, *steps: roll.Progress) -> list[int]:
    """Have the supervisor take these steps when it is asked; returns the signals that it got."""
    signals: list[int] = []
    real, waiting = os.kill, iter(steps)

    def kill(pid: int, number: int) -> None:
        if number != roll.ROLL:
            real(pid, number)
            return
        signals.append(number)
        step()

    def step(_seconds: float = 0.0) -> None:
        if (now := next(waiting, None)) is not None:
            roll.note(folder, now)

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(time, "sleep", step)
    return signals


def test_a_roll_ends_with_the_one_that_was_asked_for(monkeypatch: pytest.MonkeyPatch, locked: Path) -> None:
    roll.note(locked, roll.Progress(4, roll.DONE))
    steps = [roll.Progress(5, "checking", "a"), roll.Progress(5, "replacing", "b"), roll.Progress(5, roll.DONE)]
    signals = answer(monkeypatch, locked, *steps)
    told: list[str] = []
    roll.roll(locked, 10.0, told.append)
    assert (signals, told) == ([roll.ROLL], ["a", "b"])


def test_a_roll_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, locked: Path) -> None:
    answer(monkeypatch, locked, roll.Progress(1, roll.FAILED, "no disk"))
    with pytest.raises(roll.RollError, match="no disk"):
        roll.roll(locked, 10.0)


@pytest.mark.parametrize(("limit", "seconds", "text"), [(0.0, 9.0, "does not take"), (9.0, 0.0, "after 0 s")])
def test_a_supervisor_that_does_not_answer_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, locked: Path, limit: float, seconds: float, text: str
) -> None:
    answer(monkeypatch, locked)
    monkeypatch.setattr(roll, "ANSWER_SECONDS", limit)
    with pytest.raises(roll.RollError, match=text):
        roll.roll(locked, seconds)


def test_a_second_request_learns_that_a_roll_is_under_way(monkeypatch: pytest.MonkeyPatch, locked: Path) -> None:
    roll.note(locked, roll.Progress(1, "replacing"))
    answer(monkeypatch, locked)
    monkeypatch.setattr(roll, "ANSWER_SECONDS", 0.0)
    with pytest.raises(roll.RollError, match="rolling already"):
        roll.roll(locked, 9.0)


def test_what_is_left_is_found_once_and_its_descriptors_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        pipe, end = os.pipe()
        child = LeftChild("relay worker 1", os.getpid(), pipe)
        left = Left(end, -1, [LeftPlace(1, [listener.fileno()], child)], [], {"Valkey": 7}, 3)
        for descriptor in left.descriptors():
            os.set_inheritable(descriptor, True)
        monkeypatch.setenv(handover.VARIABLE, msgspec.json.encode(left).decode())
        assert handover.taken_over() == left
        assert handover.taken_over() is None
        assert not any(os.get_inheritable(descriptor) for descriptor in (pipe, end, listener.fileno()))
        os.close(pipe)
        os.close(end)


def test_a_program_that_cannot_be_executed_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    pipe, end = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(OSError, match="No such file"):
        handover.execute(Left(end, -1, [], [], {}, 1))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert (os.get_inheritable(end), handover.VARIABLE in os.environ) == (False, False)
    os.close(pipe)
    os.close(end)


def test_an_inherited_process_is_waited_for_and_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    process = Inherited(sleeper.pid)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10.0) == process.poll() == -signal.SIGTERM
    process.send_signal(signal.SIGTERM)  # of a process that has ended: nothing
    sleeper.returncode = 0  # it was waited for


async def test_a_child_goes_on_with_a_process_and_starts_another_when_that_ends(
    sleeper: subprocess.Popen[bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    child = Child("worker", "timeit", os.environ, 30.0)
    child.inherit(sleeper.pid, reader)
    keeping = asyncio.create_task(child.keep())
    sleeper.kill()
    async with asyncio.timeout(20):
        while child.process is None or child.process.pid == sleeper.pid:
            await asyncio.sleep(0.01)
    await child.stop(10.0, asyncio.Event())
    await asyncio.wait_for(keeping, 20)
    assert "worker was ended by SIGKILL; starting it again" in capfd.readouterr().err
    sleeper.returncode = 0
    os.close(writer)


async def test_systemd_waits_as_long_as_the_database_is_prepared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, supervisor: Supervisor
) -> None:
    def spawn_slow(_command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return spawn(["/bin/sleep", "0.2"], stdout=options["stdout"])

    monkeypatch.setattr("relayproject.runtime.supervisor.spawn", spawn_slow)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert await supervisor._prepare({})
        assert manager.recv(100) == b"EXTEND_TIMEOUT_USEC=30000000"


def test_systemd_is_told_how_long_a_stop_may_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify.ready()
        notify.stopping(300.5)
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=300500000"
    notify.ready()  # to a manager that is gone: nothing
