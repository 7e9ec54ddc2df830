"""Which parts are taken away, and how."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from relayproject.runtime.cluster.options import Failover, Options, Valkey
from relayproject.runtime.cluster.status import Row
from relayproject.runtime.errors import StartupError

Rows = list[Row]


class Way(StrEnum):
    """What happens to the part; PAIR: to the network between two parts alone."""

    KILL = "kill -9"
    PAUSE = "SIGSTOP"
    CUT = "network cut"
    PAIR = "cut between"


LOCAL = (Way.KILL, Way.PAUSE)
"""Of a part that no other asks over the network, or that has no machine of its own."""


@dataclass(frozen=True, slots=True)
class Case:
    """names: of the parts that are taken away together, from the state of the cluster just before; others: of those at
    the other end of a pair. hold_seconds: how long the platform is given to help itself before the repair.
    """

    part: str
    names: Callable[[Rows], list[str]]
    hold_seconds: float
    least_seconds: float = 5.0
    """How long the fault lasts at least, though clients notice nothing: some bite late."""
    ways: Sequence[Way] = (Way.KILL, Way.PAUSE, Way.CUT)
    others: Callable[[Rows], list[str]] = lambda _: []


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


def _all_of(kind: str, role: str = "") -> Callable[[Rows], list[str]]:
    return lambda rows: [row.name for row in rows if row.kind == kind and role in {"", row.role}]


def _both(one: Callable[[Rows], list[str]], other: Callable[[Rows], list[str]]) -> Callable[[Rows], list[str]]:
    return lambda rows: [*one(rows), *other(rows)]


def _machine_of_replica(rows: Rows) -> list[str]:
    (replica,) = REPLICA(rows)
    return [replica.replace("postgres", "patroni"), replica]


INSTANCE, HAPROXY = _named("relay-2"), _named("haproxy")
PRIMARY, REPLICA, REPLICAS = (
    _with_role("postgres", "primary"),
    _with_role("postgres", "replica"),
    _all_of("postgres", "replica"),
)
LEADER, ETCD_LEADER, VALKEY = (
    _with_role("patroni", "leader"),
    _with_role("etcd", "leader"),
    _with_role("valkey", "master"),
)


def cases(options: Options) -> list[Case]:
    """Those that the cluster has parts for."""
    return [*_parts(options), *_pairs(options)]


def _parts(options: Options) -> list[Case]:
    """A part is killed, frozen or cut off from all others. Under Patroni a PostgreSQL has no network of its own."""
    patroni = options.failover is Failover.PATRONI
    servers = LOCAL if patroni else (*LOCAL, Way.CUT)
    found = [
        Case("instance", INSTANCE, 15.0),
        Case("worker", _named("relay-2/worker-1"), 20.0, 15.0, ways=LOCAL),
        Case("primary", PRIMARY, 35.0 if patroni else 5.0, ways=servers),
        Case("replica", REPLICA, 8.0, ways=servers),
    ]
    if patroni:
        found += [
            Case("machine of the primary", _machine, 45.0),
            Case("machine of a replica", _machine_of_replica, 15.0, 10.0, ways=[Way.CUT]),
            Case("Patroni of the primary", LEADER, 45.0, 30.0, ways=LOCAL),
            Case(
                "Patroni of a replica",
                _with_role("patroni", "replica", "sync standby", "quorum standby"),
                8.0,
                ways=LOCAL,
            ),
            Case("etcd leader", ETCD_LEADER, 15.0, 10.0),
        ]
    valkey = "Valkey" if options.valkey is Valkey.ONE else "Valkey master"
    found.append(Case(valkey, VALKEY, 8.0 if options.valkey is Valkey.ONE else 15.0, 8.0))
    if options.valkey is Valkey.SENTINEL:
        found.append(Case("Sentinel", _named("sentinel-1"), 5.0))
    if options.haproxy:
        found.append(Case("HAProxy", HAPROXY, 5.0))
    return [
        *found,
        Case("Celery worker", _named("relay-1/jobs"), 15.0, 12.0, ways=LOCAL),
        Case("beat", _named("relay-1/beat"), 15.0, 12.0, ways=LOCAL),
    ]


def _pairs(options: Options) -> list[Case]:
    """Two ends of a cut, which reach all others."""

    def pair(part: str, one: Callable[[Rows], list[str]], other: Callable[[Rows], list[str]], hold: float) -> Case:
        return Case(part, one, hold, 12.0, [Way.PAIR], other)

    valkey = "Valkey" if options.valkey is Valkey.ONE else "Valkey master"
    found = [
        pair("instance ~ primary", INSTANCE, PRIMARY, 20.0),
        pair("instance ~ replica", INSTANCE, REPLICA, 15.0),
        pair(f"instance ~ {valkey}", INSTANCE, VALKEY, 15.0),
        pair(f"instance ~ primary and {valkey}", INSTANCE, _both(PRIMARY, VALKEY), 20.0),
        pair("primary ~ replica", PRIMARY, REPLICA, 15.0),
        pair("primary ~ all replicas", PRIMARY, REPLICAS, 20.0),
    ]
    if options.failover is Failover.PATRONI:
        found += [
            pair("Patroni of the primary ~ etcd leader", LEADER, ETCD_LEADER, 30.0),
            pair("Patroni of the primary ~ etcd", LEADER, _all_of("etcd"), 45.0),
        ]
    if options.valkey is Valkey.SENTINEL:
        found.append(pair("Valkey master ~ Sentinels", VALKEY, _all_of("sentinel"), 20.0))
    if options.valkey is Valkey.CLUSTER:
        found.append(pair("Valkey master ~ Valkeys", VALKEY, _other_valkeys, 20.0))
    if options.haproxy:
        found.append(pair("HAProxy ~ instance", HAPROXY, INSTANCE, 15.0))
    return found


def _other_valkeys(rows: Rows) -> list[str]:
    (master,) = VALKEY(rows)
    return [row.name for row in rows if row.kind == "valkey" and row.name not in {master, "valkey-broker"}]
