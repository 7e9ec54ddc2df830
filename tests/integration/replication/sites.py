"""Regions with a real database each: `Ingest` over it, senders that follow its log, and both sides of anti-entropy.

Only the network between them is missing: a request is handed to the receiver's function.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from io import StringIO
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import msgspec
import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from relay.background import BackgroundTasks
from relay.conf import config
from relay.ingest.ingest import Ingest
from relay.ingest.outcome import Status
from relay.policies.source import Source, SourceKind
from relay.protocol.event import Event
from relay.protocol.removal import places_of
from relay.storage.database import conninfo
from relay.storage.store import CURRENT_STORE, Store
from relay.transfer.session import ingest_beside
from relay.transfer.verifiers import Verifiers
from replication.answers import Accepts
from replication.client import Answer, PeerClient, PeerError
from replication.models import Lane, Region
from replication.receive.events import take_events
from replication.receive.receiver import Receiver
from replication.receive.table import Peer as Sending
from replication.reconcile.asking import Peer
from replication.reconcile.desk import Desk
from replication.reconcile.local_set import LocalSet, OwnConnection
from replication.reconcile.messages import window_of
from replication.reconcile.pushing import pusher
from replication.reconcile.report import Report
from replication.reconcile.responder import Responder
from replication.reconcile.run import Run
from replication.reconcile.taking import Taking
from replication.send import push
from replication.send.cursor import Cursor
from replication.send.lane import LaneSender
from replication.wire import EVENTS_PATH, FETCH_PATH
from tests.integration.storage.scribe import Json, Tables, make_store, on_own_connection

_database: ContextVar[str] = ContextVar("the database of this task or thread")


class _Addressed:
    """Stands for Django's connections where a connection string is made."""

    def __getitem__(self, alias: str) -> SimpleNamespace:
        described = connections[alias].settings_dict
        return SimpleNamespace(settings_dict={**described, "NAME": _database.get(described["NAME"])})


@contextmanager
def _within(name: str) -> Iterator[None]:
    """What is begun within, tasks and threads included, finds the database of that name."""
    token = _database.set(name)
    try:
        yield
    finally:
        _database.reset(token)


class Site:
    """Region number `origin`, from 1 on, of `total`."""

    def __init__(self, origin: int, name: str, total: int, tables: Tables, ingest: Ingest) -> None:
        self.origin = origin
        self.name = name
        self.tables = tables
        self.ingest = ingest
        self.peers = [Region(origin=other, name=f"r{other}") for other in range(1, total + 1) if other != origin]
        with _within(name):
            self.log = push.connect()
            self.asking = [OwnConnection() for _ in range(2)]
            self.answering = OwnConnection()

    def close(self) -> None:
        self.log.close()
        self.tables.close()
        for each in (*self.asking, self.answering):
            each.close()

    def clear(self) -> None:
        """As if nothing had ever been published or sent."""
        self.tables.clear()
        self.tables.connection.execute(
            "DELETE FROM replication_refusedid; DELETE FROM replication_deadletter; "
            "UPDATE replication_peerlane SET position = 0, state = 'up', attempts = 0, next_attempt_at = NULL"
        )

    async def publish(self, event: Json) -> Status:
        (outcome,) = await self.ingest.batch([msgspec.convert(event, Event)], Source(SourceKind.CLIENT))
        return outcome.status

    async def take(self, origin: int, content: bytes) -> bytes:
        """What POST /replicate answers to region `origin`."""
        relay = SimpleNamespace(config=SimpleNamespace(limits=config().limits), ingest=self.ingest)
        receiver = cast(Receiver, SimpleNamespace(relay=relay, accepts=Accepts))
        return await take_events(receiver, Sending(origin, f"r{origin}", False, "", "", 0), content)

    def served(self) -> set[str]:
        self.tables.vanish()
        return self.tables.ids()


class Link:
    """From one site to another. `fate` of the requests: "ok", "lost" on the way, or "unanswered"."""

    def __init__(self, source: Site, target: Site, loop: asyncio.AbstractEventLoop) -> None:
        self.source = source
        self.target = target
        self.fate = "ok"
        self.now = 0.0
        self._loop = loop
        self.peer = next(peer for peer in source.peers if peer.origin == target.origin)
        self.senders = {lane: self._sender(lane) for lane in Lane}

    def _sender(self, lane: Lane) -> LaneSender:
        cursor = Cursor.take(self.source.log, self.peer, lane, "this test")
        assert cursor is not None
        return LaneSender(self.source.log, self.peer, lane, cursor, cast(PeerClient, self), clock=lambda: self.now)

    def post(self, path: str, content: bytes) -> Answer:
        """As PeerClient does; in a thread."""
        if self.fate == "lost":
            raise PeerError("does not answer")
        answer = self.ask(path, content)
        if self.fate == "unanswered":
            raise PeerError("does not answer")
        return Answer(200, answer, 0.01, len(content))

    def get(self, _path: str) -> Answer:
        """The peer's state."""
        if self.fate != "ok":
            raise PeerError("does not answer")
        return Answer(200, b"", 0.01, 0)

    def ask(self, path: str, content: bytes) -> bytes:
        """The answer of the target, in whatever thread."""
        if path == EVENTS_PATH:
            return asyncio.run_coroutine_threadsafe(self.target.take(self.source.origin, content), self._loop).result(
                20
            )
        responder = Responder(self.target.answering, self.source.origin)
        return responder.fetch(content) if path == FETCH_PATH else responder.reconcile(content)

    async def step(self, lane: Lane, fate: str = "ok") -> bool:
        """One step of a sender, whatever it had to wait for; whether it has nothing left to do."""
        self.fate, self.now = fate, self.now + 60.0
        await asyncio.to_thread(self.senders[lane].step)
        return self.senders[lane].is_idle

    async def send_all(self) -> None:
        for lane in Lane:
            while not await self.step(lane):
                pass

    def lose(self) -> None:
        """What has not been sent by now never will."""
        self.source.tables.connection.execute(
            "UPDATE replication_peerlane SET position = relay_position() WHERE peer_id = %s", [self.target.origin]
        )
        self.senders = {lane: self._sender(lane) for lane in Lane}

    async def reconcile(self, verifiers: Verifiers, now: int) -> Report:
        """A run of anti-entropy, which the source begins."""
        report, site = Report(), self.source
        origin = self.target.origin
        desks = [Desk(LocalSet(each, origin, now), Peer(self.ask), pusher(self.ask)) for each in site.asking]
        taken_as = Source(SourceKind.PEER, address=self.peer.name, origin=origin, verified=True)
        taking = Taking(site.ingest, verifiers, taken_as, report)
        await Run(desks, window_of(None, None), desks[0].local.scope(), report, taking=taking).run()
        return report


@asynccontextmanager
async def sites(total: int) -> AsyncIterator[list[Site]]:
    """So many regions, each of which sends to all others what its clients publish."""
    names = [f"relay_region_{number}" for number in range(1, total + 1)]
    replication = StringIO()
    for migration in ("0001", "0002"):
        await on_own_connection(partial(call_command, stdout=replication), "sqlmigrate", "replication", migration)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(psycopg.connect(conninfo(), autocommit=True))
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("relay.storage.database.connections", _Addressed())
        tasks = BackgroundTasks()
        stack.push_async_callback(tasks.stop)
        made = []
        for origin, name in enumerate(names, 1):
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            stack.callback(server.execute, f"DROP DATABASE {name} WITH (FORCE)")
            with _within(name):
                tables = Tables()
                store = _filled(tables, replication.getvalue(), origin, total)
                conf = replace(config(), own_places=places_of(["wss://relay.example.com"]))
                ingest, _ = await stack.enter_async_context(ingest_beside(conf, store, 1_000, tasks, role=name))
            made.append(stack.enter_context(closing(Site(origin, name, total, tables, ingest))))
        yield made


def _filled(tables: Tables, replication: str, origin: int, total: int) -> Store:
    """A store with the tables of the replication, and the regions in them."""
    make_store(tables.connection)
    tables.connection.execute(replication.encode())
    for number in range(1, total + 1):
        tables.rows(
            "INSERT INTO replication_region (origin, name, is_local, relay_urls, endpoint, weight, enabled, trusted, "
            "may_read_private, send, send_kinds, send_authors, own_only, sealed_secret, sealed_previous, "
            "repair_reason, created_at) VALUES (%s, %s, %s, '[]', '', 1, true, false, false, 'all', '[]', '[]', true, "
            "'', '', '', now()) RETURNING true",
            number,
            f"r{number}",
            number == origin,
        )
    ((identity, generation, epoch),) = tables.rows(CURRENT_STORE)
    tables.connection.execute(
        "INSERT INTO replication_peerlane (peer_id, lane, identity, epoch, position, holder, state, attempts, "
        "lag_events, lag_seconds, last_error, events_per_second, bytes_per_second, sent_events, sent_bytes) "
        "SELECT r.origin, l.lane, %s, %s, 0, '', 'up', 0, 0, 0, '', 0, 0, 0, 0 FROM replication_region AS r "
        "CROSS JOIN unnest(%s::text[]) AS l (lane) WHERE NOT r.is_local",
        [identity, epoch, list(Lane.values)],
    )
    return Store(identity, generation, epoch)


async def equalise(links: dict[tuple[int, int], Link], total: int, verifiers: Verifiers, now: int) -> list[Report]:
    """Send everything, and compare each region with the next, and back, until what one had has come to all."""
    for link in links.values():
        await link.send_all()
    pairs = list(pairwise(range(1, total + 1)))
    return [await links[both].reconcile(verifiers, now) for both in (*pairs, *pairs[-2::-1])]
