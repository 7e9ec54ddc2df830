"""Faults on purpose: parts are killed, paused and resumed at once, with all that they have started."""

import signal
from collections.abc import Sequence

from relayproject.runtime.cluster.detached import Process, send, wait_until_gone
from relayproject.runtime.cluster.members import processes
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.state import State
from relayproject.runtime.errors import StartupError

GONE_SECONDS = 5.0


def kill(site: Site, state: State, names: Sequence[str]) -> None:
    """SIGKILL; returns when the processes are gone. Raises StartupError, before any signal, when a part is down."""
    for process in _send(site, state, names, signal.SIGKILL):
        wait_until_gone(process, GONE_SECONDS)


def pause(site: Site, state: State, names: Sequence[str]) -> None:
    """SIGSTOP. Raises StartupError, before any signal, when a part is down."""
    _send(site, state, names, signal.SIGSTOP)


def resume(site: Site, state: State, names: Sequence[str]) -> None:
    """SIGCONT. Raises StartupError, before any signal, when a part is down."""
    _send(site, state, names, signal.SIGCONT)


def _send(site: Site, state: State, names: Sequence[str], number: signal.Signals) -> list[Process]:
    found = {name: processes(site, state, name) for name in names}
    for name, some in found.items():
        if not some:
            raise StartupError(f"{name} is down.")
    all_processes = [process for some in found.values() for process in some]
    for process in all_processes:
        send(process, number)
    return all_processes
