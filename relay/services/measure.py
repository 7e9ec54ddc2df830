"""The figures of this process, gathered from the parts of its relay.

Rule: reading them costs microseconds and changes nothing.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from relay import logs, metrics
from relay.background import BackgroundTasks
from relay.caching.answers import Answers
from relay.caching.registry import registry
from relay.caching.shared import Counters, Shared
from relay.caching.single_flight import SingleFlight
from relay.changes.intake import Intake
from relay.conf import Config
from relay.freshness.barrier import Barrier
from relay.policies.lists import Lists
from relay.services.connections import Connections
from relay.services.follow import Follower
from relay.services.lists import ListKeeper
from relay.services.loop_lag import LoopLag
from relay.services.operator_policy import OperatorPolicy
from relay.services.primary_watch import PrimaryWatch
from relay.services.profiles import ProfileReader
from relay.services.rates import Rates
from relay.services.session.budget import PieceBudget
from relay.services.status import Status
from relay.services.worker_figures import Counts, HistogramFigures, PoolFigures, ReplicaFigures, WorkerFigures
from relay.storage.primary import Primary
from relay.storage.reads import Reads
from relay.storage.server import Server
from relay.storage.writer import Writer
from relay.subscriptions.bus import Bus
from relay.subscriptions.hub import Hub
from relay.transport.counters import counters as transport
from relay.transport.receiving import receiving
from relay.transport.sending import sending

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Measured(Protocol):
    """What is read of a relay (`relay.services.parts.Parts`)."""

    config: Config
    started_at: float
    ready: bool
    connections: Connections
    loop_lag: LoopLag
    tasks: BackgroundTasks
    primary: Primary
    reads: Reads
    pieces: PieceBudget
    intake: Intake
    hub: Hub
    bus: Bus
    shared: Shared | None
    barrier: Barrier
    answers: Answers | None
    profiles: ProfileReader
    rates: Rates
    follower: Follower
    watch: PrimaryWatch
    writer: Writer
    status: Status
    lists: Lists
    list_keeper: ListKeeper
    policy: OperatorPolicy


def measure(relay: Measured) -> WorkerFigures:
    """The figures of this process; rates are left to `relay.services.sampling`."""
    ring = relay.intake.ring
    caches = registry.figures()
    return WorkerFigures(
        connections=len(relay.connections),
        subscriptions=relay.hub.subscriptions,
        events_stored=metrics.counters.events_stored,
        events_per_second=0.0,
        position=ring.position,
        started_at=relay.started_at,
        instance=relay.config.instance,
        worker=relay.config.worker,
        version=relay.config.identity.version,
        pid=os.getpid(),
        at=time.time(),
        lag=relay.follower.lag,
        ready=relay.ready,
        bus_up=relay.bus.whole,
        database_up=relay.watch.is_up,
        shared_up=relay.shared is None or relay.shared.up,
        single_instance=relay.barrier.lease.taken,
        loop_lag_seconds=round(relay.loop_lag.highest, 4),
        ring_changes=len(ring),
        write_queue=len(relay.writer),
        memory={
            "rss": resident_bytes(),
            "ring": ring.bytes,
            "write_queue": relay.writer.queued_bytes,
            "query_queue": relay.reads.waiting_bytes,
            "filters": relay.hub.kept.bytes,
            "rate_buckets": relay.rates.bytes,
            "undelivered": relay.hub.backlog.bytes,
            "pieces": relay.pieces.held_bytes,
            "receiving": receiving.total,
            "sending": sending.total,
            "caches": sum(cache.bytes for cache in caches if cache.layer == "L1"),
        },
        pools=_pools(relay),
        replicas=_replicas(relay.reads),
        caches=caches,
        counts=_counts(relay),
        by_label={
            "rejections": dict(metrics.counters.rejections),
            "rate_limited": dict(metrics.counters.rate_limited),
            "refused_by": dict(metrics.counters.refused_by),
            "lists": relay.lists.sizes(),
            "answers": dict(relay.reads.answered),
            "fallbacks": dict(relay.reads.replicas.fallbacks) if relay.reads.replicas else {},
            "slow_queries": dict(relay.reads.attempts.slow_queries.counts),
            "slow_query_ms": dict(relay.reads.attempts.slow_queries.milliseconds),
            "geoip_lookups": dict(metrics.counters.geoip_lookups),
            "routes": dict(metrics.counters.routes),
            "refusals": dict(metrics.counters.refusals),
            "http_refused": dict(transport.http_refused),
            "closes": {str(code): number for code, number in transport.closes.items()},
        },
        histograms={
            name: HistogramFigures(list(each.bounds), list(each.counts), each.sum)
            for name, each in metrics.histograms().items()
        },
        slow_queries=relay.reads.attempts.slow_queries.shown(),
    )


def _pools(relay: Measured) -> dict[str, PoolFigures]:
    reads, writer = relay.reads, relay.writer
    return {
        "read": _pool(reads.quick),
        "slow": _pool(reads.slow),
        "coordination": _pool(relay.primary.pools),
        "write": PoolFigures(int(writer.busy), int(writer.connected and not writer.busy), 0, 1),
    }


def _replicas(reads: Reads) -> dict[str, ReplicaFigures]:
    return {
        each.address.alias: ReplicaFigures(each.up, each.why, each.behind, round(each.lag_seconds, 3))
        for each in (reads.replicas.all if reads.replicas else ())
    }


def _pool(servers: Sequence[Server]) -> PoolFigures:
    busy = sum(server.busy for server in servers)
    return PoolFigures(
        busy,
        sum(server.connected for server in servers) - busy,
        sum(server.waiting for server in servers),
        sum(server.most for server in servers),
    )


def _counts(relay: Measured) -> Counts:
    bus = relay.bus
    return {
        **metrics.counters.totals(),
        **_barrier(relay),
        **_flights(relay),
        **_shared(relay),
        **_transport(),
        **logs.counts(),
        "bus_sent": bus.sent,
        "bus_received": bus.received,
        "bus_dropped": bus.dropped,
        "bus_failures": bus.failures,
        "bus_reconnects": bus.reconnects,
        "bus_foreign": bus.other_store,
        "cache_faults": relay.follower.cache_faults,
        "policy_waiting": relay.policy.waiting,
        "list_versions_behind": relay.list_keeper.lag,
        "task_failures": relay.tasks.failures,
        "intake_dropped": relay.intake.dropped,
        "intake_refused": relay.follower.refused,
        "position_losses": relay.follower.losses,
        "ephemerals_dropped": relay.hub.ephemerals_dropped,
        "write_batches": relay.writer.batches,
        "write_failures": relay.writer.failures,
        "read_queries": relay.reads.queries,
        "read_failures": relay.reads.failures,
        "read_asked_again": relay.reads.asked_again,
        "read_cancelled": relay.reads.cancelled,
        "read_refused": relay.reads.refused,
        "connect_failures": sum(
            server.connect_failures for server in (*relay.reads.quick, *relay.reads.slow, *relay.primary.pools)
        ),
        "read_pieces": relay.reads.pieces,
        "read_second_attempts": relay.reads.attempts.second_attempts,
        "read_too_broad": relay.reads.attempts.too_broad,
        "piece_waits": relay.pieces.waits,
        "rate_grants": relay.rates.shared.grants,
        "rate_failures": relay.rates.shared.failures,
        "status_failures": relay.status.failures,
    }


def _barrier(relay: Measured) -> Counts:
    barrier = relay.barrier
    return {
        "barrier_from_memory": barrier.from_memory,
        "barrier_looks": barrier.looks,
        "barrier_held": barrier.held,
    }


def _flights(relay: Measured) -> Counts:
    answers = relay.answers
    here: list[SingleFlight[Any, Any]] = [relay.profiles.flights]
    here += [answers.flights] if answers is not None else []
    return {
        "flights_fetched": sum(flights.fetched for flights in here),
        "flights_joined": sum(flights.joined for flights in here),
    }


def _shared(relay: Measured) -> Counts:
    counted = relay.shared.counters if relay.shared is not None else Counters()
    return {f"shared_{name}": number for name, number in asdict(counted).items()}


def _transport() -> Counts:
    return {
        "bytes_in": transport.bytes_in,
        "bytes_out": transport.bytes_out,
        "handshakes_refused": transport.handshakes_refused,
        "handshakes_timed_out": transport.handshakes_timed_out,
        "protocol_errors": transport.protocol_errors,
        "yields": transport.yields,
        "aborted_slow_readers": transport.aborted_slow_readers,
        "aborted_ping_timeout": transport.aborted_ping_timeout,
        "aborted_close_deadline": transport.aborted_close_deadline,
        "aborted_unfinished": transport.aborted_unfinished,
        "aborted_unread": transport.aborted_unread,
    }


def resident_bytes() -> int:
    """The resident memory of this process; 0 where the system does not say (/proc)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0
