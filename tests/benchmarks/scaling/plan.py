"""What the cost model comes to for other numbers of users. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from tests.benchmarks.scaling.model import Costs, Part, Work, predict

BEATS_PER_SECOND = 0.1
"""Messages of a worker to all others, when nothing happens."""

COMMANDS = 0.15
"""To the shared cache for a query that PostgreSQL answers, as measured."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a platform is asked for. `users`: connections; per second: events, queries; `deliveries` of each event.

    `stored`: events in the store. Of the queries, the shares `database` and `feeds` are not answered from memory.
    """

    users: float
    events: float
    queries: float
    deliveries: float
    stored: float
    database: float = 0.2
    feeds: float = 0.05


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes: of memory for a connection and for a worker's own; of disk and WAL for an event; of the bus for a message
    and for an event in it.
    """

    connection: float
    worker: float
    event: float
    wal: float
    message: float
    change: float


@dataclass(frozen=True, slots=True)
class Choices:
    """How full a core may be, workers and most connections of an instance, cores of a database server, and how long a
    transaction holds the order lock: its commit to disk and to the synchronous standby. wal_bytes: a second, to each
    standby.
    """

    full: float = 0.6
    workers: int = 4
    connections: float = 100_000
    cores: int = 16
    commit_seconds: float = 0.001
    wal_bytes: float = 100e6


@dataclass(frozen=True, slots=True)
class Plan:
    """What the load needs. Cores are of CPU really spent.

    foreign: share of a core that events of others take each worker; where it is more than may be used, no number of
    instances is enough, and `instances` is less than would be needed. messages: deliveries of the bus a second;
    bus_bytes: their bytes a second. lock: share of the time that the order lock is held if each event has a transaction
    of its own; above 1 they gather. replay: share of a core of the replica's one process that replays.
    """

    instances: int
    worker_cores: float
    foreign: float
    primary_cores: float
    replicas: int
    cache_cores: float
    bus_cores: float
    messages: float
    bus_bytes: float
    memory: float
    disk: float
    wal: float
    lock: float
    replay: float

    def used(self, choices: Choices) -> dict[str, float]:
        """Of each part that cannot be doubled at will, the share that the load takes; above 1 it does not suffice."""
        return {
            "bus server": self.bus_cores / choices.full,
            "order lock": self.lock,
            "replay": self.replay,
            "WAL": self.wal / choices.wal_bytes,
            "primary": self.primary_cores / choices.cores / choices.full,
            "bus in each worker": self.foreign / choices.full,
        }

    def bottlenecks(self, choices: Choices) -> list[tuple[str, float]]:
        """The part that is used most, and all others that do not suffice, with their shares."""
        first, *others = sorted(self.used(choices).items(), key=lambda item: -item[1])
        return [first, *[(part, share) for part, share in others if share > 1]]


def plan(load: Load, costs: Costs, sizes: Sizes, choices: Choices) -> Plan:
    """Size a platform. Each event has a transaction of its own, and so a message, unless the order lock is always held:
    then events gather in the writers.
    """
    commits = min(load.events, 1 / choices.commit_seconds)
    own = _own(load, commits)
    instances, enough = max(ceil(load.users / choices.connections), 2), 0
    while instances != enough:  # more workers hear from each other, and need more of them
        enough = instances
        each = predict(costs, Part.WORKERS, _foreign(load, commits, instances * choices.workers))
        if (left := choices.full - each) > 0:
            instances = max(instances, ceil(predict(costs, Part.WORKERS, own) / left / choices.workers))
    workers = instances * choices.workers
    foreign = _foreign(load, commits, workers)
    whole = own + Work(1.0, workers, messages=foreign.messages * workers, changes=foreign.changes * workers)
    messages = whole.messages + commits + workers * BEATS_PER_SECOND  # and to its own sender
    return Plan(
        instances=instances,
        worker_cores=predict(costs, Part.WORKERS, whole),
        foreign=each,
        primary_cores=predict(costs, Part.PRIMARY, whole),
        replicas=max(2, ceil(predict(costs, Part.REPLICA, whole) / (choices.cores * choices.full))),
        cache_cores=predict(costs, Part.CACHE, whole),
        bus_cores=predict(costs, Part.BUS, whole),
        messages=messages,
        bus_bytes=messages * sizes.message + load.events * workers * sizes.change,
        memory=load.users * sizes.connection + workers * sizes.worker,
        disk=load.stored * sizes.event,
        wal=load.events * sizes.wal,
        lock=load.events * choices.commit_seconds,
        replay=predict(costs, Part.REPLICA, Work(events=load.events, commits=commits)),
    )


def _foreign(load: Load, commits: float, workers: int) -> Work:
    """Of a worker in a second, whatever its clients do."""
    share = (workers - 1) / workers
    return Work(seconds=1.0, messages=commits * share + BEATS_PER_SECOND * (workers - 1), changes=load.events * share)


def _own(load: Load, commits: float) -> Work:
    """In a second, whatever the number of workers."""
    feeds, database = load.queries * load.feeds, load.queries * load.database
    return Work(
        connections=load.users,
        events=load.events,
        commits=commits,
        deliveries=load.events * load.deliveries,
        memory=load.queries - feeds - database,
        database=database,
        feeds=feeds,
        commands=COMMANDS * (database + feeds),
    )


HEAD = (
    "| connections | events/s | queries/s | deliveries/s | stored | instances | cores of workers | primary | "
    "replicas | cache | bus | bus messages/s | bus bytes/s | memory of instances | disk | WAL/s | used most |"
)


def table(loads: Mapping[str, Load], costs: Costs, sizes: Sizes, choices: Choices) -> str:
    """A row for each load."""
    lines = [HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
    for name, load in loads.items():
        lines.append(f"| {name} | " + " | ".join(_cells(load, plan(load, costs, sizes, choices), choices)) + " |")
    return "\n".join(lines)


def _cells(load: Load, found: Plan, choices: Choices) -> list[str]:
    cores = (found.worker_cores, found.primary_cores)
    sizes = (found.bus_bytes, found.memory, found.disk, found.wal)
    return [
        f"{load.events:,.0f}",
        f"{load.queries:,.0f}",
        f"{load.events * load.deliveries:,.0f}",
        number(load.stored),
        f"{found.instances:,}",
        *[f"{value:,.1f}" for value in cores],
        str(found.replicas),
        f"{found.cache_cores:.2f}",
        f"{found.bus_cores:.2f}",
        number(found.messages),
        *[f"{number(value)}B" for value in sizes],
        ", ".join(f"{part} {share:.0%}" for part, share in found.bottlenecks(choices)),
    ]


def number(value: float) -> str:
    """With three digits and a decimal prefix."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"
