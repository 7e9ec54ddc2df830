"""Starts parts, notes each in the state file before anything else, and waits for their answers."""

import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from relayproject.runtime.cluster import detached
from relayproject.runtime.cluster.detached import Process
from relayproject.runtime.cluster.members import main_process, processes, shown
from relayproject.runtime.cluster.part import HOST, Part
from relayproject.runtime.cluster.say import Say
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.state import Running, State, save
from relayproject.runtime.errors import StartupError
from relayproject.runtime.processes import last_line

POLL_SECONDS = 0.1


@dataclass(slots=True)
class Starter:
    """One `up`. began: names of what it has started, for the case that it fails. launch: starts a part's process."""

    site: Site
    state: State
    say: Say
    launch: Callable[[Part], Process] = detached.start
    began: list[str] = field(default_factory=list)

    def resume_paused(self) -> None:
        """Let everything that was paused go on, PostgreSQL under Patroni too."""
        for part in shown(self.site):
            for process in processes(self.site, self.state, part.name):
                if detached.is_paused(process):
                    detached.send(process, signal.SIGCONT)

    def missing(self, parts: Sequence[Part]) -> list[Part]:
        """Those that do not run."""
        return [part for part in parts if main_process(self.site, self.state, part.name) is None]

    def start(self, part: Part) -> None:
        """Start one part that does not run; raises StartupError when its port is taken."""
        refuse_used_port(part, "end what listens there, or make another cluster with --folder and --base-port")
        self.began.append(part.name)
        try:
            process = self.launch(part)
        except OSError as error:
            raise StartupError(f"{part.name} does not start: {error}") from error
        self.state.running[part.name] = Running(
            part.argv, dict(part.settings), str(part.folder), str(part.log), process
        )
        save(self.site.folder, self.state)

    def wait(self, parts: Sequence[Part], is_well: Callable[[Part], object], seconds: float) -> None:
        """Wait until each is well; raises StartupError when one ends before, or after `seconds`."""
        ends = time.monotonic() + seconds
        for part in parts:
            while not is_well(part):
                if main_process(self.site, self.state, part.name) is None:
                    raise StartupError(f"{part.name} ended: {last_line(part.log)} (see {part.log}).")
                if time.monotonic() > ends:
                    raise StartupError(f"{part.name} is not well after {seconds:g} s (see {part.log}).")
                time.sleep(POLL_SECONDS)


def refuse_used_port(part: Part, remedy: str) -> None:
    """Raise StartupError if something listens on the port of a part that is to be started; `remedy`: what to do."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, part.port))
            probe.listen(1)
        except OSError as error:
            raise StartupError(f"{part.name} cannot listen on {part.address} ({error.strerror}): {remedy}.") from error
