"""The processes of the job queue that one `serve` runs: Celery workers and beat."""

from collections.abc import Callable, Iterable, Mapping

from relayproject import settings
from relayproject.runtime.child import Child
from relayproject.runtime.handover import LeftChild

REPLICATION = "replication worker"
"""Runs in an instance with RELAY_REGION alone."""

JOBS = {
    "Celery worker": ("worker", "relayproject.runtime.jobs", "jobs"),
    REPLICATION: ("worker", "relayproject.runtime.pushes", "replication"),
    "beat": ("beat", "relayproject.runtime.beat", "beat"),
}
"""The name of each process: role, module, RELAY_PROCESS."""


class JobProcesses:
    """`keep` has the supervisor run a child."""

    def __init__(self, roles: frozenset[str], keep: Callable[[Child], None]) -> None:
        names = [name for name, (role, _, _) in JOBS.items() if role in roles]
        self._names = [name for name in names if name != REPLICATION or settings.RELAY_REGION]
        self._keep = keep
        self.children: list[Child] = []

    def start(self, environment: Mapping[str, str], inherited: Iterable[LeftChild] = ()) -> None:
        """Start all of the roles; those that an earlier program has left (`inherited`) go on instead."""
        running = {left.name: left for left in inherited}
        self.children = [self._child(name, environment) for name in self._names]
        for child in self.children:
            if (left := running.get(child.name)) is not None:
                child.inherit(left.pid, left.pipe)
            self._keep(child)

    def left(self) -> list[LeftChild]:
        """What to leave to a later program."""
        return [left for child in self.children if (left := child.left()) is not None]

    def _child(self, name: str, environment: Mapping[str, str]) -> Child:
        _, module, process = JOBS[name]
        # The supervisor has checked the settings; Celery's own check would import all pages of the admin.
        own = {"RELAY_PROCESS": process, "CELERY_SKIP_CHECKS": "1"}
        return Child(name, module, {**environment, **own}, settings.RELAY_HEARTBEAT_SECONDS)
