"""What an import is made of: writer, bus, `Ingest` and verifiers of a process that serves no clients.

It works beside running relays as one more instance: its changes stand in the log, and are delivered to subscriptions.
"""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec

from relay.background import BackgroundTasks
from relay.changes.intake import Intake
from relay.changes.ring import Ring
from relay.conf import Config
from relay.ingest.ingest import Ingest
from relay.policies.source import Source, SourceKind
from relay.protocol.errors import Failed
from relay.storage.store import Store
from relay.storage.writer import Writer
from relay.subscriptions.bus import Bus
from relay.subscriptions.hub import Hub
from relay.transfer.importing import SPARE_CHUNKS, Importer, ImportFault
from relay.transfer.lines import CHUNK_LINES, LineReader
from relay.transfer.rules import operators_rules
from relay.transfer.state import State
from relay.transfer.verifier import Settings
from relay.transfer.verifiers import Verifiers

BATCH_EVENTS = 1_000
"""Events of one transaction: more bring nothing, and it holds the order lock for 4 ms."""

DRAIN_SECONDS = 0.1
"""An import that ends in order has nothing in the queue of the writer."""


class Options(msgspec.Struct, frozen=True):
    """How to import: the number of verifying `processes`, and at most `rate` events a second (0: no limit)."""

    processes: int
    trusted: bool = False
    rate: float = 0


class _Held:
    """Until when former holders of the lease may answer without what was written here (sql/lease.sql)."""

    def __init__(self) -> None:
        self._until = 0.0

    def acknowledge(self, _position: int, hold_seconds: float, then: Callable[[], None]) -> None:
        self._until = max(self._until, time.monotonic() + hold_seconds)
        then()

    async def wait(self) -> None:
        await asyncio.sleep(max(0.0, self._until - time.monotonic()))


@asynccontextmanager
async def ingest_beside(
    conf: Config, store: Store, queue_events: int, tasks: BackgroundTasks, *, role: str = "import"
) -> AsyncIterator[tuple[Ingest, Writer]]:
    """`Ingest` over a ring that stays empty, so that the database decides what is known. Raises ImportFault.

    `role` begins the name of the instance.
    """
    ring, held = Ring(0, 0), _Held()
    bus = Bus(lambda _batch: None, lambda _event: None, lambda: store, tasks, conf.bus_urls)
    writer = Writer(
        bus.publish,
        held.acknowledge,
        instance=f"{role}-{uuid.uuid4().hex}",
        is_followed=lambda found: (found.identity, found.epoch) == (store.identity, store.epoch),
        tasks=tasks,
        batch_events=BATCH_EVENTS,
        queue_events=queue_events,
        write_seconds=conf.write_seconds,
    )
    bus.start(receives=False)
    writer.start()
    try:
        async with AsyncExitStack() as stack:
            try:
                rules = operators_rules(conf, tasks, queue_events)
                lists, judgements = await stack.enter_async_context(rules)
            except (Failed, ImportError, TypeError) as fault:
                raise ImportFault(f"what the operator rules cannot be read: {fault}") from fault
            ingest = Ingest(
                conf.limits,
                lambda: ring,
                writer,
                Hub(Intake(ring)),
                bus,
                is_current=lambda _position: False,
                own_places=conf.own_places,
                lists=lists,
                judgements=judgements,
            )
            yield ingest, writer
            await held.wait()
    finally:
        await writer.stop(DRAIN_SECONDS)
        await bus.stop()


async def run_import(
    reader: LineReader,
    state: State,
    store: Store,
    conf: Config,
    options: Options,
    *,
    on_progress: Callable[[State], None],
    on_stop: Callable[[], None],
) -> bool:
    """Import until the input ends or SIGINT or SIGTERM arrives; True if it ended. Raises ImportFault or VerifierDied.

    `on_progress` is called as `state` moves, `on_stop` when a signal has arrived. A second signal stops at once: up to
    the position of `state` every line has its outcome.
    """
    main = asyncio.current_task()
    assert main is not None
    failed: list[str] = []

    def fail(task: str) -> None:
        failed.append(task)
        main.cancel()

    tasks = BackgroundTasks(fail)
    chunks = 2 * options.processes + SPARE_CHUNKS
    verifiers = Verifiers(Settings(conf.limits, options.trusted), options.processes)
    source = Source(SourceKind.IMPORT, trusted=options.trusted, verified=True)
    try:
        async with ingest_beside(conf, store, chunks * CHUNK_LINES + 1, tasks) as (ingest, writer):
            importer = Importer(
                reader,
                verifiers,
                ingest,
                writer,
                state=state,
                source=source,
                on_progress=on_progress,
                chunks=chunks,
                rate=options.rate,
            )
            _stop_on_signals(importer, on_stop)
            await verifiers.start()
            await importer.run()
            return not importer.is_stopping
    except asyncio.CancelledError:
        if failed:
            raise ImportFault(f"background task {failed[0]!r} failed") from None
        raise
    finally:
        await verifiers.stop()
        await tasks.stop()


def _stop_on_signals(importer: Importer, on_stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        importer.stop()
        on_stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError, RuntimeError):  # not in the main thread
            loop.add_signal_handler(number, stop)
