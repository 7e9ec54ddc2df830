"""Follows the log for one peer, about a minute long: a thread for each lane whose lease is free, one for the live link.

All of them share one connection to the database, so that a peer costs two (this and Django's), however many lanes.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from hashlib import sha256

import psycopg
from django.conf import settings
from django.db import DatabaseError

from relay.storage.database import application_name, conninfo
from relay.storage.store import read_store
from replication import health
from replication.client import PeerClient
from replication.models import Lane, Region
from replication.peers import begin_lanes
from replication.send.bus_listener import Subscriber, listener_of
from replication.send.cursor import Cursor, LeaseLost
from replication.send.lane import LaneSender
from replication.send.live import LiveLink
from replication.send.log import Connection, run

log = logging.getLogger("relay.replication")

RUN_SECONDS = 60.0
LOOK_SECONDS = 5.0
"""Between two looks at the peer's settings, and two questions for its state."""
LEAST_SECONDS = 0.02
"""Between two looks at the log by one lane, however often the bus wakes it."""
END_SECONDS = 3.0
"""At the end of a run, for requests that are under way; then the leases are left all the same."""
STATEMENT_SECONDS = 10
INSTANCE_CHARACTERS = 31
"""Of a holder's name, beside a colon and 32 hex digits: the column has 64."""
DIGEST_CHARACTERS = 12

stopping = threading.Event()
"""Set when this process is asked to end: every run ends then."""


def connect() -> Connection:
    """A connection to the primary for one run. Raises psycopg.Error."""
    is_pooled = settings.RELAY_DATABASE_POOLER != "none"
    options = "" if is_pooled else f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c enable_seqscan=off -c jit=off"
    info = conninfo(application_name=application_name("relay push"), **({"options": options} if options else {}))
    return psycopg.connect(info, autocommit=True, prepare_threshold=None if is_pooled else 3)


def push(origin: int, seconds: float = RUN_SECONDS) -> bool:
    """Follow the log for the peer; True if the next run is to follow at once. Raises psycopg.Error, django.db.Error."""
    peer, local = Region.peers().filter(pk=origin).first(), Region.local()
    if peer is None or local is None:
        return False
    begin_lanes(peer)
    with connect() as connection:
        holder = f"{holders_of(settings.RELAY_INSTANCE)}{uuid.uuid4().hex}"
        cursors = {lane: Cursor.take(connection, peer, lane, holder) for lane in Lane}
        held = {lane: cursor for lane, cursor in cursors.items() if cursor is not None}
        if not held:
            return False
        return _Run(connection, peer, local.name, held).run(seconds) and not stopping.is_set()


def release_dead() -> None:
    """End the leases that the process before this one, on the same instance, held when it died.

    Raises psycopg.Error.
    """
    with connect() as connection:
        run(connection, "release_instance", {"prefix": holders_of(settings.RELAY_INSTANCE)})


def holders_of(instance: str) -> str:
    """How the names of an instance's holders begin, in INSTANCE_CHARACTERS and a colon. Those of two instances differ,
    also where long names (pods of one Deployment) begin alike.
    """
    if len(instance) > INSTANCE_CHARACTERS:
        digest = sha256(instance.encode()).hexdigest()[:DIGEST_CHARACTERS]
        instance = instance[: INSTANCE_CHARACTERS - DIGEST_CHARACTERS] + digest
    return f"{instance}:"


class _Run:
    """One run. Its threads end when `_stop` is set; the first that fails sets it."""

    def __init__(self, connection: Connection, peer: Region, local: str, cursors: dict[Lane, Cursor]) -> None:
        self._connection = connection
        self._peer = peer
        self._local = local
        self._cursors = cursors
        self._stop = threading.Event()
        self._wakes = {lane: threading.Event() for lane in cursors}
        self._link: LiveLink | None = None
        self._failure: BaseException | None = None

    def run(self, seconds: float) -> bool:
        """Until the time is over; True unless a lease was lost. Raises what ended a lane."""
        with ExitStack() as stack:
            works = [self._following(stack, lane, cursor) for lane, cursor in self._cursors.items()]
            on_ephemeral: Callable[..., None] = _ignore
            if Lane.URGENT in self._cursors:
                self._link = link = LiveLink(self._peer, self._client(stack))
                works.append(lambda: link.run(self._stop))
                on_ephemeral = link.offer
            stack.enter_context(listener_of(read_store().identity).subscribed(Subscriber(self._wake_all, on_ephemeral)))
            threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in works]
            for thread in threads:
                thread.start()
            try:
                self._watch(seconds)
            finally:
                self._end(threads)
        if isinstance(self._failure, LeaseLost):
            log.info("another sender has a lease of %s", self._peer)
            return False
        if self._failure is not None:
            raise self._failure
        return True

    def _client(self, stack: ExitStack) -> PeerClient:
        return stack.enter_context(PeerClient(self._peer, self._local))

    def _following(self, stack: ExitStack, lane: Lane, cursor: Cursor) -> Callable[[], None]:
        sender = LaneSender(self._connection, self._peer, lane, cursor, self._client(stack))
        wake = self._wakes[lane]

        def follow() -> None:
            while not self._stop.is_set():
                began = time.monotonic()
                wait = sender.step()
                if sender.is_idle:
                    wake.wait(wait)
                    wake.clear()
                    wait = LEAST_SECONDS - (time.monotonic() - began)
                if wait > 0:
                    self._stop.wait(wait)

        return follow

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:
            if self._failure is None:
                self._failure = failure
            self._stop.set()

    def _watch(self, seconds: float) -> None:
        """Ask the peer for its state from time to time, until the time is over or the peer's settings have changed."""
        ends = time.monotonic() + seconds
        with PeerClient(self._peer, self._local) as client:
            while not self._stop.is_set() and not stopping.is_set() and time.monotonic() < ends:
                if Lane.URGENT in self._cursors:
                    health.ask(client, self._peer)
                looks = min(time.monotonic() + LOOK_SECONDS, ends)
                while time.monotonic() < looks and not stopping.wait(0.1) and not self._stop.is_set():
                    pass
                now = Region.peers().filter(pk=self._peer.pk).first()
                if now is None or _settings(now) != _settings(self._peer):
                    return

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        self._stop.set()
        self._wake_all()
        if self._link is not None:
            self._link.wake()
        ends = time.monotonic() + END_SECONDS
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))
        for cursor in self._cursors.values():
            try:
                cursor.release()
            except (psycopg.Error, DatabaseError) as error:
                log.debug("a lease was not ended: %s", error)

    def _wake_all(self) -> None:
        for wake in self._wakes.values():
            wake.set()


def _settings(region: Region) -> dict[str, object]:
    """What a run was begun with; that a repair is asked for changes nothing."""
    names = {field.attname for field in Region._meta.concrete_fields} - {"repair_asked_at", "repair_reason"}
    return {name: getattr(region, name) for name in names}


def _ignore(_event: object) -> None:
    """The live link belongs to another sender."""
