"""The servers that a worker sends queries to: the primary, and the replicas of the settings."""

from collections.abc import Callable

from relay.background import BackgroundTasks
from relay.changes.intake import Intake
from relay.conf import Config
from relay.freshness.arrivals import Arrivals
from relay.freshness.barrier import Barrier, asked_now
from relay.services.follow import Follower
from relay.storage.fair_queue import Bounds
from relay.storage.reads import Reads
from relay.storage.replica import Present
from relay.storage.replicas import Replicas
from relay.storage.slow_queries import SlowQueries


def reads_of(
    conf: Config,
    intake: Intake,
    arrivals: Arrivals,
    tasks: BackgroundTasks,
    *,
    barrier: Callable[[], Barrier],
    follower: Callable[[], Follower],
) -> Reads:
    """The queries of one worker. `barrier` and `follower` are made later, and asked from the first query on."""
    bounds = Bounds.of(conf.query_queue, conf.query_queue_bytes, conf.query_queue_per_owner)
    present = Present(
        ring=lambda: intake.ring,
        store=lambda: follower().store,
        newest=lambda: max(follower().newest, intake.ring.position),
        barrier=lambda: asked_now(barrier()),
        reached=arrivals.reached,
    )
    replicas = Replicas.of(
        conf.replicas,
        present,
        tasks,
        conf.query_seconds,
        zone=conf.zone,
        connections=conf.replica_connections,
        most=conf.replica_connections_most,
        life=conf.connection_life,
        slow_connections=conf.slow_connections,
        bounds=bounds,
    )
    reads = Reads.of_primary(
        conf.read_connections,
        conf.query_seconds,
        tasks,
        slow_connections=conf.slow_connections,
        most=conf.read_connections_most,
        life=conf.connection_life,
        bounds=bounds,
        replicas=replicas if conf.replicas else None,
    )
    reads.watch(SlowQueries(conf.slow_query_seconds))
    return reads
