"""Stops parts in order: those that use a server before the server."""

import signal
import time
from collections.abc import Sequence

from relayproject import settings
from relayproject.runtime.cluster.detached import send, wait_until_gone
from relayproject.runtime.cluster.members import main_process, processes, shown
from relayproject.runtime.cluster.part import Kind
from relayproject.runtime.cluster.say import Say
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.state import State, save

SECONDS = {
    Kind.RELAY: settings.RELAY_LEAVE_SECONDS + settings.RELAY_DRAIN_SECONDS + 8.0,  # docs/operations/processes.md
    Kind.PATRONI: 30.0,
    Kind.POSTGRES: 15.0,
    Kind.ETCD: 1.0,
}
OTHER_SECONDS = 5.0
KILL_SECONDS = 3.0
GROUPS: tuple[tuple[Kind, ...], ...] = (
    (Kind.HAPROXY, Kind.PROMETHEUS),
    (Kind.RELAY,),
    (Kind.SENTINEL, Kind.VALKEY),
    (Kind.PATRONI,),
    (Kind.POSTGRES,),
    (Kind.ETCD,),
)
"""Each is stopped before the next one."""


def stop(site: Site, state: State, names: Sequence[str], say: Say) -> None:
    """Stop these parts, wait for them, and forget their processes; kills what takes too long."""
    for kinds in GROUPS:
        group = [part for part in shown(site) if part.kind in kinds and part.name in names]
        living = [part for part in group if main_process(site, state, part.name)]
        if living:
            say(f"stopping {', '.join(part.name for part in living)}")
        ends = time.monotonic() + max((SECONDS.get(part.kind, OTHER_SECONDS) for part in living), default=0.0)
        for part in living:
            _ask_to_stop(site, state, part.name, part.kind)
        for part in group:
            process = main_process(site, state, part.name)
            late = process is not None and not wait_until_gone(process, max(0.0, ends - time.monotonic()))
            if late and part.kind is not Kind.ETCD:  # its last member waits for others that are to lead
                say(f"{part.name} does not stop in time; killing it")
            _kill_rest(site, state, part.name)
            state.running.pop(part.name, None)
    save(site.folder, state)


def _ask_to_stop(site: Site, state: State, name: str, kind: Kind) -> None:
    process = main_process(site, state, name)
    if process is None:
        return
    send(process, signal.SIGINT if kind is Kind.POSTGRES else signal.SIGTERM)  # SIGINT: PostgreSQL's fast shutdown
    for one in processes(site, state, name):
        send(one, signal.SIGCONT)


def _kill_rest(site: Site, state: State, name: str) -> None:
    for process in processes(site, state, name):
        send(process, signal.SIGKILL)
        wait_until_gone(process, KILL_SECONDS)
