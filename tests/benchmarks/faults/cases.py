"""Which parts are taken away, and how."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from relayproject.runtime.cluster.options import Failover, Options, Valkey
from relayproject.runtime.cluster.status import Row
from relayproject.runtime.errors import StartupError

Rows = list[Row]


class Way(StrEnum):
    """What happens to the part."""

    KILL = "kill -9"
    PAUSE = "SIGSTOP"
    CUT = "network cut"


LOCAL = (Way.KILL, Way.PAUSE)
"""Of a part that nobody asks over the network."""


@dataclass(frozen=True, slots=True)
class Case:
    """names: of the parts that are taken away together, from the state of the cluster just before. hold_seconds: how
    long the platform is given to help itself before the part is repaired.
    """

    part: str
    names: Callable[[Rows], list[str]]
    hold_seconds: float
    least_seconds: float = 5.0
    """How long the fault lasts at least, though clients notice nothing: some bite late."""
    ways: Sequence[Way] = tuple(Way)


def _with_role(kind: str, *roles: str) -> Callable[[Rows], list[str]]:
    return lambda rows: [_first(rows, kind, roles)]


def _first(rows: Rows, kind: str, roles: Sequence[str]) -> str:
    for row in rows:
        if row.kind == kind and row.role in roles:
            return row.name
    raise StartupError(f"No {kind} is {' or '.join(roles)}.")


def _named(name: str) -> Callable[[Rows], list[str]]:
    return lambda _: [name]


def _machine(rows: Rows) -> list[str]:
    (primary,) = _with_role("postgres", "primary")(rows)
    return [primary.replace("postgres", "patroni"), primary]


def cases(options: Options) -> list[Case]:
    """Those that the cluster has parts for."""
    found = [
        Case("instance", _named("relay-2"), 15.0),
        Case("worker", _named("relay-2/worker-1"), 20.0, 15.0, ways=LOCAL),
        Case("primary", _with_role("postgres", "primary"), 35.0 if options.failover is Failover.PATRONI else 5.0),
        Case("replica", _with_role("postgres", "replica"), 8.0),
    ]
    if options.failover is Failover.PATRONI:
        found += [
            Case("machine of the primary", _machine, 45.0),
            Case("Patroni of the primary", _with_role("patroni", "leader"), 45.0, 30.0),
            Case("Patroni of a replica", _with_role("patroni", "replica", "sync standby", "quorum standby"), 8.0),
            Case("etcd leader", _with_role("etcd", "leader"), 15.0, 10.0),
        ]
    valkey = "Valkey" if options.valkey is Valkey.ONE else "Valkey master"
    found.append(Case(valkey, _with_role("valkey", "master"), 8.0 if options.valkey is Valkey.ONE else 15.0, 8.0))
    if options.valkey is Valkey.SENTINEL:
        found.append(Case("Sentinel", _named("sentinel-1"), 5.0))
    if options.haproxy:
        found.append(Case("HAProxy", _named("haproxy"), 5.0))
    return [
        *found,
        Case("Celery worker", _named("relay-1/jobs"), 15.0, 12.0, ways=LOCAL),
        Case("beat", _named("relay-1/beat"), 15.0, 12.0, ways=LOCAL),
    ]
