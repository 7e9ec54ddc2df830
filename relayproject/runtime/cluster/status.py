"""The state of every part, and whether the cluster is well."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

import msgspec

from relayproject.runtime.cluster import probes
from relayproject.runtime.cluster.detached import is_alive, is_paused
from relayproject.runtime.cluster.members import inner_processes, main_process, shown
from relayproject.runtime.cluster.options import Failover
from relayproject.runtime.cluster.part import Kind, Part
from relayproject.runtime.cluster.probes import Answer
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.state import State

ASKED_AT_ONCE = 16


class Condition(StrEnum):
    """Of a part."""

    WELL = "running"
    ILL = "not well"
    PAUSED = "paused"
    DOWN = "down"


class Row(msgspec.Struct, frozen=True):
    """A part now. pid: 0 when it is down. lag_bytes: of a replica of PostgreSQL, behind the primary."""

    name: str
    kind: str
    role: str
    pid: int
    address: str
    state: Condition
    detail: str
    lag_bytes: int | None
    log: str


class Status(msgspec.Struct, frozen=True):
    """The whole cluster. url: where clients connect."""

    healthy: bool
    url: str
    parts: list[Row]

    @property
    def exit_code(self) -> int:
        """0: all is well; 1: some part is not; 3: nothing runs."""
        if self.healthy:
            return 0
        return 3 if all(row.state is Condition.DOWN for row in self.parts) else 1


def status(site: Site, state: State) -> Status:
    """Ask all parts at once."""
    parts = shown(site)
    alive = {part.name for part in parts if main_process(site, state, part.name)}
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        asked = {part.name: pool.submit(probes.ask, site, part) for part in parts if part.name in alive}
        answers = probes.with_lag({name: future.result() for name, future in asked.items()})
    rows = [row for part in parts for row in _rows(site, state, part, answers.get(part.name))]
    return Status(all(row.state is Condition.WELL for row in rows), site.options.url, rows)


def _rows(site: Site, state: State, part: Part, answer: Answer | None) -> Iterator[Row]:
    process = main_process(site, state, part.name)
    answer = answer or Answer(False)
    condition = Condition.WELL if answer.well else Condition.ILL
    if process is None:
        condition, answer = Condition.DOWN, Answer(False)
    elif is_paused(process):
        condition, answer = Condition.PAUSED, Answer(False, detail="by a signal")
    role = answer.role or ("all roles" if part.name == "relay-1" else "web" if part.kind is Kind.RELAY else "")
    log = site.log(part.name)
    if part.kind is Kind.POSTGRES and site.options.failover is Failover.PATRONI:
        log = site.log(part.name.replace("postgres", "patroni"))
    pid = process.pid if process else 0
    yield Row(part.name, part.kind, role, pid, part.address, condition, answer.detail, answer.lag_bytes, str(log))
    if part.kind is Kind.RELAY:
        for name, inner in sorted(inner_processes(process), key=lambda pair: pair[0]):
            if is_alive(inner):
                found = Condition.PAUSED if is_paused(inner) else Condition.WELL
                yield Row(f"{part.name}/{name}", part.kind, "", inner.pid, "", found, "", None, str(log))
