"""A session over a wire that records: each verb, the table of verbs, and the one way to answer a REQ."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import orjson
import pytest

from relay.background import BackgroundTasks
from relay.caching.answers import Answer
from relay.caching.copies import Known
from relay.changes.change import Added, Batch
from relay.changes.intake import Intake
from relay.changes.ring import Ring
from relay.changes.row import id_of
from relay.conf import config
from relay.ingest.outcome import DUPLICATE, STORED, Outcome
from relay.metrics import counters
from relay.protocol import messages
from relay.protocol.errors import Failed
from relay.protocol.login import OwnPlaces
from relay.protocol.messages import End
from relay.services.session import fetcher
from relay.services.session.budget import PIECE_BYTES, PieceBudget
from relay.services.session.session import CONCURRENT_QUERIES, Services, Session
from relay.services.session.verbs import HANDLERS
from relay.storage.filter_sql import Key
from relay.storage.read_result import Item
from relay.subscriptions.hub import Hub
from relay.subscriptions.outbox import Flusher
from tests.events import sign_event
from tests.unit.changes.orders import additions, note

QUERY_SECONDS = 5.0
RELAY = "wss://relay.example.com"
FILTER = {"kinds": [1]}


class Wire:
    """A client that reads at once, or, with `reads` false, when the test says so."""

    def __init__(self) -> None:
        self.reads = True
        self.messages: list[list[Any]] = []
        self.buffered = 0
        self.most_buffered = 0
        self.is_cut = False
        self.news = asyncio.Event()

    def send_frames(self, frames: Sequence[bytes]) -> None:
        self.messages += [orjson.loads(frame) for frame in frames]
        if not self.reads:
            self.buffered += sum(map(len, frames))
            self.most_buffered = max(self.most_buffered, self.buffered)
        self.news.set()

    def buffered_bytes(self) -> int:
        return self.buffered

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def close(self, code: int, reason: str) -> None: ...

    def cut(self) -> None:
        self.is_cut = True


class Memory:
    """The copies, the barrier, the store and the way in of one process, as a session sees them; the test decides."""

    def __init__(self) -> None:
        self.known: Sequence[bytes] | None = None
        self.end = End.UNKNOWN
        self.stored: Sequence[Item] = ()
        self.by_id: dict[bytes, bytes] = {}
        self.held: list[int] = []
        self.fault: Exception | None = None
        self.number: int | None = 0
        self.waits: list[Callable[[int | None], None]] | None = None
        self.late: list[Callable[[bool], None]] = []
        self.barriers = 0
        self.fetches = 0
        self.running = 0
        self.most_running = 0
        self.gate: asyncio.Event | None = None
        self.outcome: Outcome | None = None
        self.published: list[Callable[[Outcome], None]] = []
        intake = Intake(Ring(0, 1 << 26))
        self.intake, self.hub = intake, Hub(intake)
        self.background = BackgroundTasks()
        self.pieces = PieceBudget(4 << 20)
        parts: Any = self
        answers: Any = Answers(self)
        self.services = Services(
            replace(config(), query_seconds=QUERY_SECONDS, max_outbox_bytes=8 << 20),
            HANDLERS,
            self.hub,
            Flusher(),
            parts,
            parts,
            parts,
            answers,
            parts,
            self.background,
            self.pieces,
            OwnPlaces([RELAY]),
        )

    def leave(self, then: Callable[[int | None], None]) -> None:
        """The end of a query; its answer may be under way already."""

    def join(self, then: Callable[[int | None], None]) -> None:
        self.barriers += 1
        if self.waits is None:
            then(self.number)
        else:
            self.waits.append(then)

    def when(self, position: int, then: Callable[[bool], None]) -> None:
        self.late.append(then)

    async def fetch(self, filters: object) -> Answer:
        self.fetches += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.running -= 1
        if self.fault is not None:
            raise self.fault
        return Answer(self.hub.position, self.stored, "none", self.end)

    async def texts(
        self, keys: Sequence[Key], audience: object, *, least: int, owner: str, seconds: float
    ) -> dict[bytes, bytes]:
        self.held.append(self.pieces.held_bytes)
        first = {id_of(text): text for text in (*(self.known or ()), *self.stored) if isinstance(text, bytes)}
        found = first | self.by_id
        return {key.id: found[key.id] for key in keys if key.id in found}

    def submit(self, event: object, source: object, then: Callable[[Outcome], None]) -> Outcome | None:
        if self.outcome is None:
            self.published.append(then)
        return self.outcome

    def apply(self) -> bytes:
        """The next change of the order, a note that was stored; returns its text."""
        event = note(self.hub.position + 1)
        self.hub.deliver(self.intake.offer(Batch.of([Added(self.hub.position + 1, event)])))
        return event.json


class Answers:
    """The copies of a process, as far as a query asks them."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.arrivals = memory

    def known(self, filters: object, audience: object) -> Known | None:
        if self._memory.fault is not None:
            raise self._memory.fault
        return None if self._memory.known is None else Known(self._memory.known, self._memory.end)

    async def fetch(self, filters: object, audience: object, owner: str) -> Answer:
        return await self._memory.fetch(filters)


class Client:
    def __init__(self, memory: Memory) -> None:
        self.wire = Wire()
        self.session = Session(memory.services, self.wire, "127.0.0.1", "127.0.0.1")

    def say(self, *message: object) -> None:
        self.session.receive(orjson.dumps(message))

    @property
    def got(self) -> list[list[Any]]:
        self.session.outbox.flush()
        return self.wire.messages

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not done():
                self.wire.news.clear()
                await self.wire.news.wait()

    async def closed(self, subscription: str) -> str:
        """The reason with which a subscription ends."""
        await self.until(lambda: any(m[:2] == ["CLOSED", subscription] for m in self.wire.messages))
        return str(next(m[2] for m in self.wire.messages if m[:2] == ["CLOSED", subscription]))

    async def eose(self, subscription: str) -> None:
        await self.until(lambda: ["EOSE", subscription] in self.wire.messages)


@pytest.fixture
async def memory() -> AsyncIterator[Memory]:
    made = Memory()
    yield made
    await made.background.stop()
    assert made.background.failures == 0


@pytest.fixture
async def client(memory: Memory) -> AsyncIterator[Client]:
    made = Client(memory)
    yield made
    made.session.end()
    assert memory.hub.subscriptions == 0


def texts(count: int, size: int = 10) -> list[bytes]:
    """As much of stored texts as is read: ids, authors and times, and `size` bytes of content."""
    head = b'{"id":"%064x","pubkey":"%064x","created_at":1,"content":"%s"}'
    return [head % (number, 0, b"x" * size) for number in range(count)]


def events_of(messages: Sequence[list[Any]], subscription: str = "s") -> list[Any]:
    return [message[2] for message in messages if message[:2] == ["EVENT", subscription]]


# -- The table of verbs ------------------------------------------------------------------------------------------------


def test_every_message_that_the_parser_knows_has_a_handler() -> None:
    assert set(HANDLERS) == set(get_args(messages.Message))
    assert len(HANDLERS) == len(messages._PARSERS)


async def test_a_handler_that_fails_is_answered_with_a_notice(client: Client, memory: Memory) -> None:
    client.session.services = replace(memory.services, handlers={})
    before = counters.internal_errors
    client.say("CLOSE", "s")
    assert client.got == [["NOTICE", "error: internal"]]
    assert counters.internal_errors == before + 1


# -- EVENT -------------------------------------------------------------------------------------------------------------


async def test_an_event_is_answered_at_once_when_its_outcome_is_known(client: Client, memory: Memory) -> None:
    memory.outcome = DUPLICATE
    event = sign_event()
    client.say("EVENT", event)
    assert client.got == [["OK", event["id"], True, DUPLICATE.text]]
    assert len(client.session.pending) == 0


async def test_01_e01_the_same_event_twice_is_answered_twice(client: Client, memory: Memory) -> None:
    event = sign_event()
    client.say("EVENT", event)
    client.say("EVENT", event)
    memory.published[0](STORED)
    memory.published[1](DUPLICATE)
    assert client.got == [["OK", event["id"], True, ""], ["OK", event["id"], True, DUPLICATE.text]]


async def test_a_connection_that_is_to_be_closed_has_the_answers_to_its_events_first(
    client: Client, memory: Memory
) -> None:
    memory.known = []
    client.say("REQ", "s", FILTER)
    event = sign_event()
    client.say("EVENT", event)
    client.session.close_when_answered("error: stopping", 1012)
    assert (client.session.is_closing, client.session.is_closed) == (True, False)
    memory.published[0](STORED)
    assert client.session.is_closed
    assert client.got == [["EOSE", "s"], ["OK", event["id"], True, ""], ["CLOSED", "s", "error: stopping"]]


async def test_a_suspended_connection_has_no_subscription_and_goes_on_when_it_is_resumed(
    client: Client, memory: Memory
) -> None:
    memory.known = []
    client.say("REQ", "s", FILTER)
    client.session.suspend("error: later")
    assert client.got == [["EOSE", "s"], ["CLOSED", "s", "error: later"]]
    assert client.session.services.hub.subscriptions == 0
    client.session.resume()
    client.say("REQ", "s", FILTER)
    assert client.got[2:] == [["EOSE", "s"]]
    client.session.close("error: stopping", 1012)
    assert client.got[3:] == [["CLOSED", "s", "error: stopping"]]
    client.session.resume()  # of one that has ended: nothing


async def test_01_e22_a_query_waits_for_the_events_before_it_and_needs_no_task(client: Client, memory: Memory) -> None:
    memory.known = texts(1)
    client.say("EVENT", sign_event())
    client.say("REQ", "s", FILTER)
    assert client.got == []
    memory.published[0](STORED)
    assert [message[0] for message in client.got] == ["OK", "EVENT", "EOSE"]
    assert memory.fetches == 0


async def test_01_s11_a_query_whose_events_are_not_answered_in_time_is_closed(memory: Memory) -> None:
    memory.services = replace(memory.services, config=replace(memory.services.config, query_seconds=0.01))
    client = Client(memory)
    client.say("EVENT", sign_event())
    client.say("REQ", "s", FILTER)
    assert await client.closed("s") == "error: query timed out"
    memory.published[0](STORED)
    assert [message[0] for message in client.got] == ["CLOSED", "OK"]
    assert memory.hub.subscriptions == 0


# -- CLOSE, and what ends a subscription -------------------------------------------------------------------------------


async def test_01_s05_close_ends_a_subscription_silently(client: Client, memory: Memory) -> None:
    memory.known = []
    client.say("REQ", "s", FILTER)
    client.say("CLOSE", "s")
    client.say("CLOSE", "unknown")
    memory.apply()
    assert client.got == [["EOSE", "s"]]
    assert memory.hub.subscriptions == 0


async def test_01_s04_a_refused_req_ends_the_open_subscription_of_its_id(client: Client, memory: Memory) -> None:
    memory.known = []
    client.say("REQ", "s", FILTER)
    client.say("REQ", "other", FILTER)
    client.say("REQ", "s", {"search": "x"})
    memory.apply()
    assert [message[:2] for message in client.got] == [
        ["EOSE", "s"],
        ["EOSE", "other"],
        ["CLOSED", "s"],
        ["EVENT", "other"],
    ]


async def test_01_s04_a_refused_req_ends_a_query_that_runs(client: Client, memory: Memory) -> None:
    memory.gate = asyncio.Event()
    client.say("REQ", "s", FILTER)
    await asyncio.sleep(0)
    client.say("REQ", "s")
    memory.gate.set()
    await memory.background.stop()
    assert [message[:2] for message in client.got] == [["CLOSED", "s"]]


async def test_01_s07_one_subscription_too_many_is_refused(memory: Memory) -> None:
    limits = replace(memory.services.config.limits, max_subscriptions=1)
    memory.services = replace(memory.services, config=replace(memory.services.config, limits=limits))
    memory.known = []
    client = Client(memory)
    client.say("REQ", "a", FILTER)
    client.say("REQ", "b", FILTER)
    client.say("REQ", "a", FILTER)
    assert client.got == [["EOSE", "a"], ["CLOSED", "b", "rate-limited: too many subscriptions"], ["EOSE", "a"]]


@pytest.mark.parametrize("end, hint", [(End.FINISH, [["finish"]]), (End.MORE, [["more"]]), (End.UNKNOWN, [])])
async def test_67_1_eose_says_what_is_known_of_the_end(
    client: Client, memory: Memory, end: End, hint: list[list[str]]
) -> None:
    memory.known, memory.end = texts(1), end
    client.say("REQ", "s", FILTER)
    memory.known = None
    client.say("REQ", "fetched", FILTER)
    await client.until(lambda: any(message[:2] == ["EOSE", "fetched"] for message in client.got))
    assert [message for message in client.got if message[0] == "EOSE"] == [
        ["EOSE", "s", *hint],
        ["EOSE", "fetched", *hint],
    ]


# -- REQ from memory ---------------------------------------------------------------------------------------------------


async def test_filters_that_take_too_much_memory_are_refused_and_the_others_stay(
    client: Client, memory: Memory
) -> None:
    client.say("REQ", "s", {"kinds": [1]})
    await client.eose("s")
    kept = memory.hub.kept
    before = kept.bytes
    kept.max_bytes = before + 100

    client.say("REQ", "t", {"kinds": [2]})

    assert (await client.closed("t")).startswith("rate-limited:")
    assert (kept.bytes, memory.hub.subscriptions) == (before, 1)
    kept.max_bytes = 1 << 40
    client.say("REQ", "t", {"kinds": [2]})
    await client.eose("t")


async def test_replaced_and_ended_subscriptions_leave_nothing_behind(client: Client, memory: Memory) -> None:
    for number in range(50):
        client.say("REQ", "s", {"kinds": [number]})
    await client.eose("s")
    assert memory.hub.kept.filters == 1
    client.session.end()
    assert (memory.hub.kept.bytes, memory.hub.subscriptions) == (0, 0)


async def test_an_answer_in_memory_is_sent_in_one_step_behind_one_barrier(client: Client, memory: Memory) -> None:
    memory.known = texts(3)
    client.say("REQ", "s", FILTER)
    assert [message[0] for message in client.got] == ["EVENT", "EVENT", "EVENT", "EOSE"]
    assert (memory.barriers, memory.fetches) == (1, 0)
    memory.apply()
    assert client.got[-1][:2] == ["EVENT", "s"]


async def test_nothing_is_sent_before_the_barrier_allows_it(client: Client, memory: Memory) -> None:
    memory.known, memory.waits = texts(1), []
    client.say("REQ", "s", FILTER)
    assert client.got == []
    memory.waits[0](0)
    assert [message[0] for message in client.got] == ["EVENT", "EOSE"]


async def test_memory_is_read_again_if_it_changed_while_waiting_for_the_barrier(client: Client, memory: Memory) -> None:
    memory.known, memory.waits = [], []
    client.say("REQ", "s", FILTER)
    memory.known = [memory.apply()]
    memory.waits[0](1)
    assert [message[0] for message in client.got] == ["EVENT", "EOSE"]


async def test_an_answer_waits_for_the_changes_that_the_barrier_names(client: Client, memory: Memory) -> None:
    memory.known, memory.number = [], 1
    client.say("REQ", "s", FILTER)
    assert client.got == []
    memory.known = [memory.apply()]
    memory.late[0](True)
    assert [message[0] for message in client.got] == ["EVENT", "EOSE"]
    assert (memory.barriers, memory.fetches) == (1, 0)


@pytest.mark.parametrize("number, come", [(None, None), (1, False)], ids=["unknown position", "time-out"])
async def test_the_store_is_asked_when_memory_may_not_answer(
    client: Client, memory: Memory, number: int | None, come: bool | None
) -> None:
    memory.known, memory.stored, memory.number = texts(1), texts(2), number
    client.say("REQ", "s", FILTER)
    if come is not None:
        memory.late[0](come)
    await client.eose("s")
    assert len(events_of(client.got)) == 2
    assert memory.fetches == 1


@pytest.mark.parametrize("end", [("CLOSE", "s"), ("REQ", "s", {"search": "x"})], ids=["closed", "refused"])
async def test_an_answer_that_comes_after_the_end_is_not_sent(
    client: Client, memory: Memory, end: tuple[object, ...]
) -> None:
    memory.known, memory.waits, memory.number = texts(1), [], 1
    client.say("REQ", "s", FILTER)
    client.say("REQ", "s", FILTER)
    memory.waits[1](1)
    client.say(*end)
    memory.waits[0](0)
    memory.late[0](True)
    assert events_of(client.got) == []
    assert memory.fetches == 0


async def test_a_fault_of_memory_ends_its_query_and_no_other(client: Client, memory: Memory) -> None:
    memory.known, memory.waits = texts(1), []
    client.say("REQ", "a", FILTER)
    client.say("REQ", "b", FILTER)
    memory.apply()
    memory.fault = RuntimeError("a fault")
    memory.waits[0](0)
    memory.fault = None
    memory.waits[1](0)
    assert [message[:2] for message in client.got] == [["CLOSED", "a"], ["EVENT", "b"], ["EOSE", "b"]]
    assert client.got[0][2] == "error: internal"


# -- REQ from the store ------------------------------------------------------------------------------------------------


async def test_what_is_not_in_memory_is_fetched_without_a_barrier_here(client: Client, memory: Memory) -> None:
    memory.stored = texts(2)
    client.say("REQ", "s", FILTER)
    await client.eose("s")
    assert (memory.barriers, memory.fetches) == (0, 1)
    assert [message[0] for message in client.got] == ["EVENT", "EVENT", "EOSE"]


@pytest.mark.parametrize(
    "fault, text",
    [(Failed("the database is gone"), "error: the database is gone"), (RuntimeError("x"), "error: internal")],
    ids=str,
)
async def test_a_query_that_fails_is_closed_with_its_reason(
    client: Client, memory: Memory, fault: Exception, text: str
) -> None:
    client.say("REQ", "s", FILTER)
    memory.fault = fault
    assert await client.closed("s") == text
    memory.apply()
    assert events_of(client.got) == []


async def test_01_s11_waiting_for_its_turn_is_part_of_a_querys_time(memory: Memory) -> None:
    memory.services = replace(memory.services, config=replace(memory.services.config, query_seconds=0.02))
    memory.gate = asyncio.Event()
    client = Client(memory)
    for name in range(CONCURRENT_QUERIES + 1):
        client.say("REQ", str(name), FILTER)
    assert [await client.closed(str(name)) for name in range(CONCURRENT_QUERIES + 1)] == ["error: query timed out"] * (
        CONCURRENT_QUERIES + 1
    )


async def test_so_many_queries_of_a_connection_run_side_by_side(client: Client, memory: Memory) -> None:
    memory.gate = asyncio.Event()
    for name in range(3 * CONCURRENT_QUERIES):
        client.say("REQ", str(name), FILTER)
    for _ in range(5):
        await asyncio.sleep(0)
    assert memory.running == CONCURRENT_QUERIES
    memory.gate.set()
    for name in range(3 * CONCURRENT_QUERIES):
        await client.eose(str(name))
    assert memory.most_running == CONCURRENT_QUERIES


async def test_01_s04_queries_that_are_replaced_again_and_again_leave_their_queue_at_once(
    client: Client, memory: Memory
) -> None:
    memory.gate = asyncio.Event()
    for number in range(1_000):
        client.say("REQ", str(number % 10), FILTER)
        if number % 100 == 99:
            await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert memory.running == CONCURRENT_QUERIES
    assert len(memory.background._running) == 10
    memory.gate.set()
    for name in range(10):
        await client.eose(str(name))
    assert not memory.background._running


# -- Large answers, and clients that do not read -----------------------------------------------------------------------


@pytest.mark.parametrize("place", ["memory", "store"])
async def test_a_large_answer_is_sent_in_pieces_as_the_client_reads(client: Client, memory: Memory, place: str) -> None:
    large = texts(100, 256 * 1024)
    if place == "memory":
        memory.known = large
    else:
        memory.stored = large
    client.wire.reads = False
    client.say("REQ", "s", FILTER)
    async with asyncio.timeout(10):
        while ["EOSE", "s"] not in client.wire.messages:
            await asyncio.sleep(0)
            client.wire.buffered = 0
            client.session.outbox.drained()
    assert events_of(client.got) == [orjson.loads(text) for text in large]
    assert client.wire.most_buffered < 2 * PIECE_BYTES
    assert not client.wire.is_cut
    assert memory.fetches == (place == "store")


async def test_a_client_that_does_not_read_a_piece_in_time_loses_its_query(
    client: Client, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "SLOW_READER_SECONDS", 0.01)
    memory.stored = texts(10, PIECE_BYTES // 2)
    client.wire.reads = False
    client.say("REQ", "s", FILTER)
    assert await client.closed("s") == "error: query timed out"


async def test_an_answer_in_memory_waits_while_the_client_does_not_read(client: Client, memory: Memory) -> None:
    memory.known = texts(1)
    client.wire.buffered = PIECE_BYTES + 1
    client.say("REQ", "s", FILTER)
    await asyncio.sleep(0)
    assert client.got == []
    client.wire.buffered = 0
    client.session.outbox.drained()
    await client.eose("s")
    assert memory.fetches == 0


async def test_a_client_that_is_cut_off_in_the_middle_of_an_answer_ends_it(memory: Memory) -> None:
    memory.services = replace(memory.services, config=replace(memory.services.config, max_outbox_bytes=65_536))
    memory.stored = texts(100, PIECE_BYTES // 4)
    client = Client(memory)
    client.wire.reads = False
    client.wire.buffered = 1
    client.say("REQ", "s", FILTER)
    async with asyncio.timeout(5):
        while not client.wire.is_cut:
            await asyncio.sleep(0)
        while memory.background.is_running("query"):
            await asyncio.sleep(0)
    assert memory.hub.subscriptions == 0


async def test_a_client_that_is_cut_off_by_the_end_of_an_answer_in_memory_leaves_no_query(memory: Memory) -> None:
    memory.services = replace(memory.services, config=replace(memory.services.config, max_outbox_bytes=65_536))
    memory.known = texts(1, 66_000)
    client = Client(memory)
    client.wire.reads = False
    client.wire.buffered = 1_000
    client.say("REQ", "s", FILTER)
    assert client.wire.is_cut
    assert memory.hub.subscriptions == 0
    assert not memory.background.is_running("query")


# -- Answers whose texts come in pieces --------------------------------------------------------------------------------


def keyed(memory: Memory, count: int, size: int) -> list[bytes]:
    """Events whose texts the first statement left out; returns the texts."""
    found = texts(count, size)
    keys = [Key(b"%064x" % number, 0, len(text)) for number, text in enumerate(found)]
    memory.by_id = {key.id: text for key, text in zip(keys, found, strict=True)}
    memory.stored = keys
    return found


async def test_texts_that_were_left_out_are_fetched_in_pieces_and_in_order(client: Client, memory: Memory) -> None:
    wanted = keyed(memory, 40, PIECE_BYTES // 4)
    first = b'"first"'
    memory.stored = [first, *memory.stored]
    client.say("REQ", "s", FILTER)
    await client.eose("s")
    assert events_of(client.got) == [orjson.loads(text) for text in [first, *wanted]]
    assert len(memory.held) >= 10
    assert max(memory.held) <= PIECE_BYTES
    assert memory.pieces.held_bytes == 0


async def test_events_that_are_gone_when_their_piece_is_fetched_are_left_out(client: Client, memory: Memory) -> None:
    wanted = keyed(memory, 12, PIECE_BYTES // 2)
    for number in (0, 1, 2, 7, 11):
        del memory.by_id[b"%064x" % number]
    client.say("REQ", "s", FILTER)
    await client.eose("s")
    assert events_of(client.got) == [orjson.loads(wanted[number]) for number in (3, 4, 5, 6, 8, 9, 10)]


async def test_01_s11_a_piece_that_finds_no_memory_in_time_ends_its_query(memory: Memory) -> None:
    memory.services = replace(memory.services, config=replace(memory.services.config, query_seconds=0.05))
    client = Client(memory)
    keyed(memory, 2, 100)
    await memory.pieces.take(4 << 20)
    client.say("REQ", "s", FILTER)
    assert await client.closed("s") == "error: query timed out"
    memory.pieces.give(4 << 20)
    assert memory.pieces.held_bytes == 0
    client.session.end()


async def test_01_s11_waiting_for_the_barrier_is_part_of_a_querys_time(memory: Memory) -> None:
    memory.services = replace(memory.services, config=replace(memory.services.config, query_seconds=0.05))
    client = Client(memory)
    memory.known, memory.waits = texts(1), []
    client.say("REQ", "s", FILTER)
    assert await client.closed("s") == "error: query timed out"
    memory.waits[0](0)
    assert events_of(client.got) == []
    client.session.end()


async def test_the_seam_sends_a_step_at_a_time(client: Client, memory: Memory) -> None:
    memory.services.hub.seam_checks = 2
    memory.gate = asyncio.Event()
    client.say("REQ", "s", FILTER)
    fetched = Answer(0, (), "none")

    async def late(filters: object, audience: object, owner: str) -> Answer:
        return fetched

    memory.services.answers.fetch = late  # type: ignore[method-assign, union-attr]
    missed = [memory.apply() for _ in range(7)]
    client.say("REQ", "t", FILTER)
    await client.eose("t")
    await client.until(lambda: len(events_of(client.got, "t")) == 7)
    assert events_of(client.got, "t") == [orjson.loads(text) for text in missed]


async def test_the_seam_gives_way_while_it_sends_what_the_ring_does_not_reach(
    client: Client, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.background.TURN_SECONDS", -1.0)
    changes = additions(7)
    memory.intake.restart(Ring(7, 1 << 26))
    others = 0

    def other() -> None:
        nonlocal others
        others += 1
        asyncio.get_running_loop().call_soon(other)

    async def answer_at_0(*_: object) -> Answer:
        return Answer(0, (), "none")

    async def changes_after(_position: int) -> Batch:
        other()
        return Batch.of(changes)

    memory.services.answers.fetch = answer_at_0  # type: ignore[method-assign, union-attr]
    memory.services.primary.changes_after = changes_after  # type: ignore[method-assign, assignment]
    client.say("REQ", "s", FILTER)
    await client.until(lambda: len(events_of(client.got)) == len(changes))
    assert others >= len(changes)


async def test_01_e19_a_message_that_is_too_long_is_answered_with_its_id_where_it_has_one(client: Client) -> None:
    client.session.receive_too_large(b'["REQ","feed",{"authors":["')
    client.session.receive_too_large(b'["AUTH",{"id":"%b","content":"' % (b"a" * 64))
    client.session.receive_too_large(b'["CLOSE","')

    assert [message[:2] for message in client.wire.messages] == [["CLOSED", "feed"], ["OK", "a" * 64]]
    assert all(message[-1].startswith("invalid: a message may have at most") for message in client.wire.messages)
