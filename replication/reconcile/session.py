"""A run with everything that it is made of: connections to store and peer, `Ingest`, verifying processes, its row."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import replace

import psycopg
from django.utils import timezone
from msgspec import Struct

from relay.background import BackgroundTasks, cancel
from relay.conf import Config, config, own_places_beside
from relay.policies.source import Source, SourceKind
from relay.storage.store import Store, read_store, read_urls
from relay.transfer.importing import ImportFault
from relay.transfer.session import ingest_beside
from relay.transfer.verifier import Settings
from relay.transfer.verifiers import VerifierDied, Verifiers
from replication.client import PeerError, client_of
from replication.models import Region, Repair
from replication.reconcile.asking import Peer, PeerFault
from replication.reconcile.desk import Desk
from replication.reconcile.local_set import LocalSet, OwnConnection
from replication.reconcile.messages import FETCH_EVENTS, window_of
from replication.reconcile.metrics import count_run
from replication.reconcile.patience import patient
from replication.reconcile.pushing import pusher
from replication.reconcile.report import Report
from replication.reconcile.run import Run
from replication.reconcile.statements import statement
from replication.reconcile.taking import StoreAway, Taking

NOTE_SECONDS = 2.0
"""Between two updates of the row of a run, and two calls of `on_progress`."""

ANSWER_SECONDS = 60.0
"""For one answer of the peer: a plan counts 320,000 events."""

FAULTS = (PeerFault, PeerError, StoreAway, ImportFault, VerifierDied, psycopg.Error)
"""Why a run ends early; what was healed before stays, and the next run goes on."""


STOPPED = "stopped before the last window"

MOST_REPAIRS = 1_000
"""Rows of runs that are kept for a peer: those of three days."""

LOOK_SECONDS = 0.2
"""Between two looks at `stopping`."""

stopping = threading.Event()
"""Set when this process is asked to end: every run ends in order then."""


class Busy(Exception):
    """another run with this peer is under way"""


class Options(Struct, frozen=True):
    """`since` and `until` in Unix seconds, None for no bound. `parallel` windows at a time, `processes` that
    verify. It ends in order after `seconds`, and with `stops_on_signals` at the first SIGINT or SIGTERM.
    """

    since: int | None = None
    until: int | None = None
    parallel: int = 4
    processes: int = 2
    dry_run: bool = False
    seconds: float | None = None
    stops_on_signals: bool = False
    reason: str = ""


OnProgress = Callable[[Report], None]


def reconcile(peer: Region, options: Options, on_progress: OnProgress = lambda report: None) -> Report:
    """Compare with `peer` and heal both sides. Raises Busy, or one of FAULTS."""
    report = Report()
    store, conf = read_store(), replace(config(), own_places=own_places_beside(read_urls()))
    with _alone(peer):
        row = Repair(peer=peer, reason=options.reason[:200], since=options.since, until=options.until)
        if not options.dry_run:
            row.save()
        made = _Making(peer, options, report, store=store, conf=conf, repair=row.pk, on_progress=on_progress)
        try:
            asyncio.run(made.run())
        except FAULTS as fault:
            row.error = (str(fault) or fault.__doc__ or "").strip()[:1000]
            raise
        finally:
            if not options.dry_run:
                count_run(peer.name, report, failed=bool(row.error))
                _end(row, report)
    return report


def _end(row: Repair, report: Report) -> None:
    for name in ("windows", "compared", "received", "sent"):
        setattr(row, name, getattr(report, name))
    row.error = row.error or ("" if report.is_whole else STOPPED)
    row.finished_at = timezone.now()
    row.save()
    with closing(OwnConnection()) as connection:
        connection(statement("trim_repairs"), {"peer": row.peer_id, "most": MOST_REPAIRS})


@contextmanager
def _alone(peer: Region) -> Iterator[None]:
    with closing(OwnConnection()) as connection, connection.transaction():
        ((is_alone, _),) = connection(statement("alone"), {"peer": peer.origin})
        if not is_alone:
            raise Busy
        yield


class _Making:
    """Makes and runs one `Run`, inside a loop of its own."""

    def __init__(
        self,
        peer: Region,
        options: Options,
        report: Report,
        *,
        store: Store,
        conf: Config,
        repair: int | None,
        on_progress: OnProgress,
    ) -> None:
        self._peer = peer
        self._options = options
        self._report = report
        self._store = store
        self._conf = conf
        self._repair = repair
        self._on_progress = on_progress
        self._failed: list[str] = []

    async def run(self) -> None:
        main = asyncio.current_task()
        assert main is not None

        def fail(name: str) -> None:
            self._failed.append(name)
            main.cancel()

        tasks = BackgroundTasks(fail)
        try:
            async with self._taking(tasks) as taking:
                with ExitStack() as stack:
                    desks = await asyncio.to_thread(self._desks, stack)
                    await self._with_desks(desks, taking)
        except asyncio.CancelledError:
            if self._failed:
                raise ImportFault(f"background task {self._failed[0]!r} failed") from None
            raise
        finally:
            await tasks.stop()

    async def _with_desks(self, desks: list[Desk], taking: Taking | None) -> None:
        local, options = desks[0].local, self._options
        ours = await asyncio.to_thread(local.scope)
        if not options.dry_run:
            await asyncio.to_thread(local.forget_refused)
        run = Run(desks, window_of(options.since, options.until), ours, self._report, taking=taking)
        loop = asyncio.get_running_loop()
        ending = loop.call_later(options.seconds, run.stop) if options.seconds is not None else None
        if options.stops_on_signals:
            _stop_on_signals(loop, run)
        helping = [asyncio.create_task(self._note()), asyncio.create_task(_stop_with_process(run))]
        try:
            await run.run()
        finally:
            await cancel(helping)
            if ending is not None:
                ending.cancel()

    async def _note(self) -> None:
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            self._on_progress(self._report)
            if self._repair is not None:
                await asyncio.to_thread(self._write_note)

    def _write_note(self) -> None:
        report = self._report
        figures = {"windows": report.windows, "compared": report.compared, "repair": self._repair}
        with closing(OwnConnection()) as connection:
            connection(statement("note_repair"), figures | {"received": report.received, "sent": report.sent})

    @asynccontextmanager
    async def _taking(self, tasks: BackgroundTasks) -> AsyncIterator[Taking | None]:
        """None for a run that only counts."""
        if self._options.dry_run:
            yield None
            return
        peer = self._peer
        source = Source(
            SourceKind.PEER,
            address=peer.name,
            origin=peer.origin,
            trusted=peer.trusts_answers,
            owner=f"peer {peer.name}",
            verified=True,
        )
        verifiers = Verifiers(Settings(self._conf.limits, peer.trusts_answers), self._options.processes)
        queue = self._options.parallel * FETCH_EVENTS
        try:
            async with ingest_beside(self._conf, self._store, queue, tasks, role="reconcile") as (ingest, _):
                await verifiers.start()
                yield Taking(ingest, verifiers, source, self._report, most_bytes=self._conf.limits.max_message_length)
        finally:
            await verifiers.stop()

    def _desks(self, stack: ExitStack) -> list[Desk]:
        now = int(time.time())
        desks = []
        for _ in range(self._options.parallel + 1):  # one plans
            connection = stack.enter_context(closing(OwnConnection()))
            client = stack.enter_context(client_of(self._peer, ANSWER_SECONDS))
            ask = patient(client)
            desks.append(Desk(LocalSet(connection, self._peer.origin, now), Peer(ask), pusher(ask)))
        return desks


async def _stop_with_process(run: Run) -> None:
    while not stopping.is_set():  # noqa: ASYNC110 - a thread sets it
        await asyncio.sleep(LOOK_SECONDS)
    run.stop()


def _stop_on_signals(loop: asyncio.AbstractEventLoop, run: Run) -> None:
    """The first one ends the run in order, the second one at once."""

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        run.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
