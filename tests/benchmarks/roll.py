"""Three instances behind HAProxy are replaced, drained, killed and paused under load: who is refused, what is lost.

`python -m tests.benchmarks.roll [--connections N] [--rate N] [NAME ...]` with the names of FAULTS; about two minutes.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from relay.loadtest.histogram import Histogram
from relayproject.descriptors import raise_limit
from relayproject.runtime.roll import roll
from tests.acceptance.haproxy import HAProxy
from tests.acceptance.relay_process import RelayProcess, wait_for
from tests.benchmarks.fleet import Fleet, Phase

DRAIN_SECONDS = 10
LEAVE_SECONDS = 6
QUIET_SECONDS = 10.0
SETTINGS = {
    "RELAY_TRUSTED_PROXIES": "127.0.0.1",
    "RELAY_DRAIN_SECONDS": str(DRAIN_SECONDS),
    "RELAY_LEAVE_SECONDS": str(LEAVE_SECONDS),
    "RELAY_MAX_LIMIT": "5000",
}
STOP_SECONDS = DRAIN_SECONDS + LEAVE_SECONDS + 10.0


class Cluster:
    """Three instances with a worker each, the first of which has the servers and is left alone by stops."""

    def __init__(self, folder: Path) -> None:
        first = RelayProcess(folder / "1", roles="web,migrate", settings=SETTINGS)
        self.instances = [first.start()]
        key = (first.data_dir / "secret_key").read_text().strip()
        shared = {**SETTINGS, **first.services(), "SECRET_KEY": key}
        self.instances += [RelayProcess(folder / str(number), roles="web", settings=shared) for number in (2, 3)]
        for instance in self.instances[1:]:
            instance.start()

    def destroy(self) -> None:
        """End all; the servers last."""
        for instance in reversed(self.instances):
            instance.destroy()


async def rolled(cluster: Cluster, _haproxy: HAProxy) -> None:
    """`manage.py roll` of each instance in turn."""
    for instance in cluster.instances:
        await asyncio.to_thread(roll, instance.data_dir, 120.0)


async def restarted(cluster: Cluster, haproxy: HAProxy) -> None:
    """SIGTERM and another start, of each instance that has not the servers, when the one before is up."""
    for at, instance in enumerate(cluster.instances[1:], 2):
        assert instance.process is not None
        instance.process.terminate()
        await asyncio.to_thread(instance.wait_ended, STOP_SECONDS)
        instance.launch()  # in this thread: the kernel ends it with the thread that started it
        await asyncio.to_thread(instance.wait_ready)
        await until_up(haproxy, at)


async def drained(_cluster: Cluster, haproxy: HAProxy) -> None:
    """HAProxy is told to send no more clients to an instance, and then to send them again."""
    haproxy.say("set server instances/relay-2 state drain\n")
    await asyncio.sleep(5.0)
    haproxy.say("set server instances/relay-2 state ready\n")
    await until_up(haproxy, 2)


async def killed(cluster: Cluster, haproxy: HAProxy) -> None:
    """kill -9 of the worker of an instance, which its supervisor starts again."""
    os.kill(cluster.instances[1].workers()[0], signal.SIGKILL)
    await asyncio.sleep(10.0)
    await until_up(haproxy, 2)


async def paused(cluster: Cluster, haproxy: HAProxy) -> None:
    """SIGSTOP of a worker until HAProxy has cut its clients, then SIGCONT."""
    (worker,) = cluster.instances[2].workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        await asyncio.to_thread(
            wait_for, lambda: haproxy.states()["relay-3"] == "DOWN", "an instance that is down", 30.0
        )
        await asyncio.sleep(3.0)
    finally:
        with contextlib.suppress(ProcessLookupError):  # its supervisor may have replaced it as hung
            os.kill(worker, signal.SIGCONT)
    await until_up(haproxy, 3)


async def until_up(haproxy: HAProxy, number: int) -> None:
    """Wait until HAProxy sends clients to an instance."""
    name = f"relay-{number}"
    await asyncio.to_thread(wait_for, lambda: haproxy.states()[name] == "UP", f"{name} that is up", 60.0)


Fault = Callable[[Cluster, HAProxy], Awaitable[None]]
FAULTS: Mapping[str, Fault] = {
    "rolled": rolled,
    "restarted": restarted,
    "drained": drained,
    "killed": killed,
    "paused": paused,
}


async def measure(cluster: Cluster, haproxy: HAProxy, names: list[str], connections: int, rate: float) -> Fleet:
    """Each fault between two quiet times, in which all are connected again; prints a line of each."""
    fleet = Fleet(haproxy.url, connections, followers=min(20, connections), rate=rate)
    try:
        await fleet.start()
        show(fleet.phase)
        for name in names:
            await phase_of(fleet, "quiet", asyncio.sleep(QUIET_SECONDS))
            await phase_of(fleet, name, FAULTS[name](cluster, haproxy))
            await phase_of(fleet, "  until all are served", fleet.all_served(60.0))
        dead, missing = await fleet.finish()
        lost = set(fleet.acknowledged) - await fleet.stored()
        print(
            f"\nacknowledged {len(fleet.acknowledged):,} events, lost {len(lost)}; deliveries missing {missing}; "
            f"clients that are no longer served {dead}"
        )
    finally:
        await fleet.close()
    return fleet


async def phase_of(fleet: Fleet, name: str, work: Awaitable[None]) -> None:
    """One part of the run."""
    fleet.begin(name)
    phase = fleet.phase
    await work
    show(phase)


def show(phase: Phase) -> None:
    """One line of the table."""
    refused = ", ".join(f"{count} {reason}" for reason, count in phase.refused.most_common(3)) or "0"
    closes = ", ".join(f"{count} {reason}" for reason, count in phase.closes.most_common(3)) or "0"
    print(
        f"{phase.name:<24} opened {phase.opened:>5}  reconnect p95 {p95(phase.reconnect)}  OK p95 {p95(phase.ok)}  "
        f"EOSE p95 {p95(phase.eose)}  refused {refused}  closed {closes}",
        flush=True,
    )


def p95(times: Histogram) -> str:
    """In milliseconds."""
    found = times.quantile(0.95)
    return f"{'-' if found is None else format(found * 1e3, ',.0f'):>6} ms"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.roll", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(FAULTS)}; all if none")
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=100.0, help="events a second")
    arguments = parser.parse_args()
    names = arguments.names or list(FAULTS)
    if unknown := set(names) - set(FAULTS):
        parser.error(f"there is no fault named {', '.join(sorted(unknown))}")
    if shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") is None:
        sys.exit("HAProxy is not installed: apt-get install -y haproxy")
    raise_limit()
    with tempfile.TemporaryDirectory(prefix="relay-roll-") as path:
        folder = Path(path)
        cluster = Cluster(folder)
        try:
            options = {"connections": 8_000, "instance_connections": 4_000, "requests": 0, "upgrades": 0}
            with HAProxy(folder, cluster.instances, check_seconds=5, slow_start_seconds=1, **options) as haproxy:
                wait_for(lambda: set(haproxy.states().values()) == {"UP"}, "three instances that are up")
                asyncio.run(measure(cluster, haproxy, names, arguments.connections, arguments.rate))
        finally:
            cluster.destroy()


if __name__ == "__main__":
    main()
