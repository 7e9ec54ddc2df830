"""The parts of the relay of one process, and what each of them tells the others."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from relay.background import BackgroundTasks
from relay.caching.answers import Answers
from relay.caching.clearing import Clearing
from relay.caching.shared import Shared
from relay.changes.change import Batch, Change
from relay.changes.intake import Intake
from relay.changes.ring import Ring
from relay.conf import Config
from relay.freshness.ack_table import AckTable
from relay.freshness.arrivals import Arrivals
from relay.freshness.barrier import Barrier
from relay.ingest.ingest import Ingest
from relay.policies.lists import Lists
from relay.protocol.event import StoredEvent
from relay.protocol.login import OwnPlaces
from relay.services.connection_keys import MOST
from relay.services.connections import Connections
from relay.services.follow import Follower
from relay.services.lists import ListKeeper
from relay.services.loop_lag import LoopLag
from relay.services.measure import measure
from relay.services.operator_policy import OperatorPolicy
from relay.services.primary_watch import PrimaryWatch
from relay.services.profiles import ProfileReader
from relay.services.rates import Rates
from relay.services.read_servers import reads_of
from relay.services.session.budget import PieceBudget
from relay.services.session.session import Services
from relay.services.session.verbs import HANDLERS
from relay.services.status import Status
from relay.storage.event_count import event_count
from relay.storage.primary import Primary
from relay.storage.store import Store
from relay.storage.writer import Writer
from relay.subscriptions.bus import Bus
from relay.subscriptions.hub import Hub
from relay.subscriptions.outbox import Flusher

HURRY = "extra heartbeat"


class Parts(ABC):
    """All parts, made and connected, none started (`relay.services.runtime.Relay` starts and stops them).

    Create it inside a running loop.
    """

    def __init__(self, conf: Config, on_failure: Callable[[str], None] = lambda name: None) -> None:
        """`on_failure` is called with the name of a background task that failed."""
        self.config = conf
        self._loop = asyncio.get_running_loop()
        self.tasks = BackgroundTasks(on_failure)
        self.started_at = time.time()
        self.ready = False
        """The position in the log is known, and clients are accepted."""
        self.primary = Primary(conf.query_seconds, self.tasks, life=conf.connection_life)
        self.intake = Intake(Ring(0, conf.ring_bytes))
        self.arrivals = Arrivals(lambda: self.intake.ring)
        self.reads = reads_of(
            conf,
            self.intake,
            self.arrivals,
            self.tasks,
            barrier=lambda: self.barrier,
            follower=lambda: self.follower,
        )
        self.hub = Hub(self.intake, conf.filter_bytes)
        self.bus = Bus(self._from_bus, self._ephemeral_from_bus, self.store, self.tasks, conf.bus_urls)
        self.shared = Shared(conf.cache_url, tasks=self.tasks) if conf.cache_url else None
        table = AckTable.of_one() if conf.ack_table is None else AckTable.open(conf.ack_table, int(conf.worker) - 1)
        self.barrier = Barrier(
            self.primary,
            lambda: self.follower.store.log_key,
            self.tasks,
            table,
            self._known_without_primary,
            lambda: self.ready and self.watch.is_up,
        )
        self.clearing = Clearing(self.shared, self.store, self.tasks) if self.shared is not None else None
        self.answers: Answers | None = None
        if conf.cache_layers != "none":
            self.answers = Answers(
                self.reads,
                self.arrivals,
                lambda: self.intake.ring,
                self.barrier,
                self.tasks,
                shared=self.shared if conf.cache_layers == "l1+l2" else None,
                store=self.store,
                window_bytes=conf.window_bytes,
            )
        self.lists = Lists(conf.limits.retention)
        self.list_keeper = ListKeeper(self.lists, self.primary, self.tasks, lambda: self.connections.enforce())  # noqa: PLW0108 - made below
        self.profiles = ProfileReader(self.reads, self.answers, lambda: self.intake.ring)
        self.watch = PrimaryWatch(
            on_gone=self._primary_gone,
            on_alone=self.send_away,
            on_back=self.primary_back,
            replicated=lambda: self.reads.replicated,
        )
        self.follower = Follower(
            self.intake,
            self.hub,
            self.primary,
            self.watch,
            self.tasks,
            bus_is_up=lambda: self.bus.up,
            on_changes=self._applied,
            on_cache_fault=self._clear_copies,
            on_lost=self.lost,
            on_lists=self.list_keeper.follow,
            on_missing=self.bus.doubt,
        )
        self.bus.on_hint = self.hurry
        self.bus.on_loss = self.follower.suspect
        self.bus.on_later_epoch = self.watch.later_epoch
        self.writer = Writer(
            self._committed,
            self.barrier.acknowledge,
            instance=table.name,
            is_followed=self.follower.check,
            is_gone=lambda: not self.watch.is_up,
            life=conf.connection_life,
            tasks=self.tasks,
            batch_events=conf.write_batch,
            queue_events=conf.write_queue,
            write_seconds=conf.write_seconds,
        )
        self.rates = Rates(conf.rates, conf.ip_limit_exempt, self.shared, self.store, conf.workers, self.tasks)
        self.policy = OperatorPolicy(conf, self.tasks)
        self.ingest = Ingest(
            conf.limits,
            lambda: self.intake.ring,
            self.writer,
            self.hub,
            self.bus,
            is_current=self._is_current,
            own_places=conf.own_places,
            refusal_of_author=self.rates.refusal_of_author,
            lists=self.lists,
            judgements=self.policy.judgements,
        )
        self.pieces = PieceBudget(conf.answer_bytes)
        services = Services(
            conf,
            HANDLERS,
            self.hub,
            Flusher(),
            self.ingest,
            self.primary,
            self.reads,
            self.answers,
            self.barrier,
            self.tasks,
            self.pieces,
            OwnPlaces(conf.urls),
            rates=self.rates,
            is_banned=lambda key: self.lists.is_banned(key, int(time.time())),
        )
        self.loop_lag = LoopLag(self.tasks)
        self.connections = Connections(conf, services, self.unready, self.lists)
        self.status = Status(
            conf.cache_url,
            conf.instance,
            lambda: measure(self),
            lambda: event_count(self.reads),
            self.store,
            self.tasks,
            lambda search: self.connections.largest(MOST, search),
        )

    @abstractmethod
    def lost(self, why: str) -> None:
        """Begin again: the log can no longer be followed from this process's position."""

    @abstractmethod
    def send_away(self) -> None:
        """The primary answers other instances and not this one."""

    @abstractmethod
    def primary_back(self) -> None:
        """The primary answers again."""

    @abstractmethod
    def unready(self) -> str | None:
        """Why no client is accepted, None if clients are."""

    def store(self) -> Store:
        """The store that this process follows."""
        return self.follower.store

    def hurry(self) -> None:
        """Ask the primary now, not at the next heartbeat."""
        if not self.tasks.is_running(HURRY):
            self.tasks.job(self.follower.beat(), HURRY)

    def _from_bus(self, batch: Batch) -> None:
        if batch.last > self.follower.newest:
            self.watch.went_on()
        self.follower.apply(batch)

    def _ephemeral_from_bus(self, event: StoredEvent) -> None:
        self.ingest.ephemeral_from_bus(event)

    def _committed(self, batch: Batch) -> None:
        self.follower.apply(batch)
        self.bus.publish(batch)

    def _applied(self, changes: Sequence[Change]) -> None:
        self.arrivals.look()
        if self.answers is not None:
            self.answers.copies.apply(changes)

    def _clear_copies(self) -> None:
        if self.answers is not None:
            self.answers.copies.clear()

    def _is_current(self, position: int) -> bool:
        """True if nothing was acknowledged after `position`, and every process can know of it."""
        if not self.barrier.lease.is_held() or self.barrier.acknowledged() > position:
            return False
        self.barrier.acknowledge(position, 0, lambda: None)
        return True

    def _primary_gone(self) -> None:
        """End what it was asked: a server that is frozen, or a network that drops all, would end nothing by itself."""
        why = "the primary does not answer"
        self.writer.disconnect()
        self.reads.drop_primary(why)
        self.primary.drop(why)

    def _known_without_primary(self) -> int | None:
        """The position that copies must have reached to answer while the primary is gone, that of the newest change
        that is known here or to a replica; None if they must not answer.
        """
        if not (self.watch.is_gone_for_all and self.ready):
            return None
        if self._loop.time() - self.watch.gone_since > self.config.stale_read_seconds:
            return None
        return max(self.follower.newest, self.barrier.acknowledged(), self.reads.replicated)
