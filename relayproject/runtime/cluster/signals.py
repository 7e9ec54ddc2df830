"""Faults on purpose: a part is killed, paused and resumed, with all that it has started."""

import signal

from relayproject.runtime.cluster.detached import Process, send, wait_until_gone
from relayproject.runtime.cluster.members import processes
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.state import State
from relayproject.runtime.errors import StartupError

GONE_SECONDS = 5.0


def kill(site: Site, state: State, name: str) -> None:
    """SIGKILL; returns when the processes are gone. Raises StartupError when the part is down."""
    for process in _send(site, state, name, signal.SIGKILL):
        wait_until_gone(process, GONE_SECONDS)


def pause(site: Site, state: State, name: str) -> None:
    """SIGSTOP. Raises StartupError when the part is down."""
    _send(site, state, name, signal.SIGSTOP)


def resume(site: Site, state: State, name: str) -> None:
    """SIGCONT. Raises StartupError when the part is down."""
    _send(site, state, name, signal.SIGCONT)


def _send(site: Site, state: State, name: str, number: signal.Signals) -> list[Process]:
    found = processes(site, state, name)
    if not found:
        raise StartupError(f"{name} is down.")
    for process in found:
        send(process, number)
    return found
