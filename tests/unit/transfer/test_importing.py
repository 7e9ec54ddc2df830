"""The state of an import never moves over a line whose outcome is not known."""

import asyncio
import io
import random
from collections.abc import Callable
from typing import Any, cast

import orjson
import pytest

from relay.ingest.ingest import Ingest
from relay.ingest.outcome import FAILED, STORED, Outcome
from relay.policies.source import Source, SourceKind
from relay.protocol.event import Event
from relay.protocol.limits import Limits
from relay.storage.writer import Writer
from relay.transfer import importing, lines
from relay.transfer.importing import Importer, ImportFault
from relay.transfer.lines import LineReader
from relay.transfer.state import State
from relay.transfer.verifier import Settings, Verified, verify
from relay.transfer.verifiers import Verifiers
from tests.events import unsigned_event

SETTINGS = Settings(Limits(), trusted=True)
CHUNKS = 4
EVENTS = [unsigned_event(content=str(number)) for number in range(60)]
LINES = [orjson.dumps(event) + b"\n" for event in EVENTS]


class Store:
    """In place of `Ingest` and `Writer`: outcomes come later, in any order. `fails` of the first tries fail."""

    def __init__(self, seed: int = 0, *, fails: int = 0, connected: bool = True) -> None:
        self.connected = connected
        self.stored: list[str] = []
        self.waiting = 0
        self.most_waiting = 0
        self._chance = random.Random(seed)
        self._fails = fails

    def submit(self, event: Event, source: Source, then: Callable[[Outcome], None]) -> Outcome | None:
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        loop = asyncio.get_running_loop()
        loop.call_later(self._chance.random() / 200, self._settle, event, then)
        return None

    def _settle(self, event: Event, then: Callable[[Outcome], None]) -> None:
        self.waiting -= 1
        then(self._outcome(event))

    async def one(self, event: Event, source: Source) -> Outcome:
        return self._outcome(event)

    def _outcome(self, event: Event) -> Outcome:
        if self._fails:
            self._fails -= 1
            return FAILED
        self.stored.append(event.id)
        return STORED


class OneProcess:
    """In place of `Verifiers`: answers that overtake each other."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    async def verify(self, lines: list[bytes]) -> Verified:
        await asyncio.sleep(self._chance.random() / 200)
        return verify(lines, SETTINGS)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CHUNK_LINES", 3)
    monkeypatch.setattr(importing, "RETRY_SECONDS", 0)
    monkeypatch.setattr(importing, "GIVE_UP_SECONDS", 0.05)


def importer(store: Store, state: State, moved: Callable[[State], None], **options: Any) -> Importer:
    reader = LineReader(io.BytesIO(b"".join(LINES)), 1_000)
    if state.offset:
        assert reader.skip_to(state.offset, state.line, state.digest)
    return Importer(
        reader,
        cast(Verifiers, OneProcess(options.pop("seed", 0))),
        cast(Ingest, store),
        cast(Writer, store),
        state=state,
        source=Source(SourceKind.IMPORT),
        on_progress=moved,
        chunks=CHUNKS,
        **options,
    )


@pytest.mark.parametrize("seed", range(5))
async def test_every_line_below_the_state_has_its_outcome(seed: int) -> None:
    store, state, seen = Store(seed), State("s.1"), []

    def moved(state: State) -> None:
        seen.append(state.line)
        assert {event["id"] for event in EVENTS[: state.line]} <= set(store.stored)
        assert state.offset == sum(map(len, LINES[: state.line]))
        assert state.tally.total == state.line

    await importer(store, state, moved, seed=seed).run()

    assert seen == sorted(seen)
    assert state.line == state.tally.taken["stored"] == len(EVENTS)
    assert store.most_waiting <= CHUNKS * lines.CHUNK_LINES


@pytest.mark.parametrize("seed", range(5))
async def test_a_stopped_import_goes_on_without_a_gap_and_without_a_repetition(seed: int) -> None:
    store, state = Store(seed), State("s.1")
    first = importer(store, state, lambda state: first.stop() if state.line > 20 else None, seed=seed)

    await first.run()
    assert 20 < state.line < len(EVENTS)
    await importer(store, state, lambda _: None, seed=seed).run()

    assert sorted(store.stored) == sorted(event["id"] for event in EVENTS)
    assert state.tally.total == state.line == len(EVENTS)


async def test_events_that_failed_are_submitted_again() -> None:
    store, state = Store(fails=10, connected=False), State("s.1")

    await importer(store, state, lambda _: None).run()

    assert state.tally.taken == {"stored": len(EVENTS)}
    assert not state.tally.refused


async def test_an_event_that_fails_while_the_database_answers_is_refused() -> None:
    store, state = Store(fails=2 * len(EVENTS)), State("s.1")

    await importer(store, state, lambda _: None).run()

    assert state.tally.refused[FAILED.text].count == len(EVENTS)


async def test_an_import_ends_where_the_database_stays_away() -> None:
    store, state = Store(fails=10**9, connected=False), State("s.1")

    with pytest.raises(ImportFault, match="does not store events"):
        await asyncio.wait_for(importer(store, state, lambda _: None).run(), 10)

    assert state.line == 0


async def test_input_that_cannot_be_read_on_is_imported_up_to_there() -> None:
    store, state = Store(), State("s.1")
    started = importer(store, state, lambda _: None)

    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            if line := super().readline(size):
                return line
            raise EOFError("cut off")

    started._reader = LineReader(Broken(b"".join(LINES[:7])), 1_000)
    with pytest.raises(ImportFault, match="cut off"):
        await started.run()

    assert state.tally.taken == {"stored": 7}


async def test_a_rate_is_not_exceeded() -> None:
    store, state = Store(), State("s.1")
    began = asyncio.get_running_loop().time()

    await importer(store, state, lambda _: None, rate=200).run()

    assert asyncio.get_running_loop().time() - began >= len(EVENTS) / 200 - 0.1
