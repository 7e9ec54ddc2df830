"""One lane, step by step: the log is in the test's database, a whole relay takes what is sent."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from replication.answers import Accepts, Fate, Outcome, Taken, encode
from replication.client import TIMEOUT_SECONDS, PeerClient, PeerError
from replication.lanes import lane_of
from replication.models import DeadLetter, Lane, PeerLane, Region
from replication.selection import Selected
from replication.send import push
from replication.send.again import send_again
from replication.send.cursor import Cursor, LeaseLost
from replication.send.lane import LaneSender
from replication.send.log import Connection, read_page
from tests.acceptance.client import Client
from tests.acceptance.regions.conftest import SECRET
from tests.acceptance.relay_process import RelayProcess
from tests.events import pubkey_of, secret, sign_event
from tests.integration.storage.scribe import Scribe, Tables, entry, on_own_connection

pytestmark = pytest.mark.django_db(transaction=True)

Event = dict[str, Any]
NOW = int(time.time())


class Sending:
    """The region `eu` of the test's database, its peer `us`, and a connection for the sender."""

    def __init__(self, connection: Connection, peer: Region) -> None:
        self.connection = connection
        self.peer = peer

    async def sender(self, lane: Lane = Lane.NORMAL, holder: str = "this test") -> LaneSender:
        cursor = Cursor.take(self.connection, self.peer, lane, holder)
        assert cursor is not None
        return LaneSender(self.connection, self.peer, lane, cursor, PeerClient(self.peer, "eu"))

    async def row(self, lane: Lane = Lane.NORMAL) -> PeerLane:
        return await PeerLane.objects.aget(peer=self.peer, lane=lane)

    async def change(self, **settings: object) -> None:
        for name, value in settings.items():
            setattr(self.peer, name, value)
        await self.peer.asave()

    async def letters(self) -> list[tuple[str, str]]:
        return [(letter.event_id, letter.reason_class) async for letter in DeadLetter.objects.filter(peer=self.peer)]


@pytest.fixture
async def sending(tables: Tables, us: RelayProcess) -> AsyncIterator[Sending]:
    await Region.objects.acreate(name="eu", is_local=True)
    peer = Region(name="us", endpoint=us.http_url)
    peer.rotate(SECRET)
    await peer.asave()
    with await asyncio.to_thread(push.connect) as connection:
        yield Sending(connection, peer)
    await sync_to_async(connections.close_all)()  # of the thread in which Django's asynchronous queries run


@pytest.fixture
def new() -> Callable[..., Event]:
    """An event that no other test has sent."""
    numbers = iter(range(1_000_000))

    def make(**given: Any) -> Event:
        return sign_event(content=f"{time.monotonic_ns()} {next(numbers)}", **{"created_at": NOW, **given})

    return make


Found = Callable[[list[Event]], Awaitable[set[str]]]


@pytest.fixture
def at_us(us: RelayProcess) -> Found:
    """Which of these events the other region serves."""

    async def found(events: list[Event]) -> set[str]:
        async with Client(us.ws_url) as client:
            return set((await client.query({"ids": [event["id"] for event in events]})).ids)

    return found


async def test_a_lane_sends_its_kinds_and_no_other(
    sending: Sending, scribe: Scribe, at_us: Found, new: Callable[..., Event]
) -> None:
    events = [new(kind=kind) for kind in (1, 7, 30_023, 1, 7)]
    await scribe.write(*events)
    for lane in Lane:
        sender = await sending.sender(lane)
        sender.step()
        wanted = {event["id"] for event in events if list(Lane).index(lane_of(event["kind"])) <= list(Lane).index(lane)}
        assert await at_us(events) == wanted
        assert (await sending.row(lane)).position >= 5 - (lane is not Lane.LOW)


async def test_a_request_to_vanish_is_sent_from_where_it_is_kept(
    sending: Sending, scribe: Scribe, us: RelayProcess, new: Callable[..., Event]
) -> None:
    note = new(secret_key=secret(31))
    await scribe.write(note)
    (await sending.sender()).step()
    await scribe.write(sign_event(secret(31), kind=62, tags=[["relay", "ALL_RELAYS"]], created_at=NOW))
    (await sending.sender(Lane.URGENT)).step()
    async with Client(us.ws_url) as client:
        assert (await client.query({"authors": [note["pubkey"]]})).events == []


async def test_what_the_peer_refuses_becomes_a_dead_letter_and_the_lane_goes_on(
    sending: Sending, scribe: Scribe, at_us: Found, new: Callable[..., Event]
) -> None:
    good, late = new(), new()
    ahead = new(created_at=NOW + 5_000)
    await scribe.write(good, ahead, late)
    (await sending.sender()).step()
    assert await at_us([good, ahead, late]) == {good["id"], late["id"]}
    assert await sending.letters() == [(ahead["id"], "invalid")]


async def test_what_was_deleted_there_is_no_dead_letter(
    sending: Sending, scribe: Scribe, us: RelayProcess, new: Callable[..., Event]
) -> None:
    note = new()
    async with Client(us.ws_url) as client:
        await client.publish(new(kind=5, tags=[["e", note["id"]]]))
    await scribe.write(note)
    (await sending.sender()).step()
    assert await sending.letters() == []
    assert (await sending.row()).position == 1


async def test_after_five_tries_the_peer_is_down_and_the_cursor_stands(
    sending: Sending, scribe: Scribe, at_us: Found, new: Callable[..., Event]
) -> None:
    endpoint = sending.peer.endpoint
    await sending.change(endpoint="http://127.0.0.1:9")
    event = new()
    await scribe.write(event)
    sender = await sending.sender()
    for attempt in range(1, 6):
        sender._due = 0.0
        sender.step()
        row = await sending.row()
        assert (row.attempts, row.state, row.position) == (attempt, "down" if attempt == 5 else "up", 0)
    assert "does not answer" in row.last_error

    await scribe.write(new())
    sender = await sending.sender()
    sender._due = 0.0
    sender.step()
    row = await sending.row()
    assert (row.state, row.lag_events) == ("down", 2)  # a sender that has read no page yet knows how far it is behind
    assert row.lag_seconds > 0

    await sending.change(endpoint=endpoint)
    sender = await sending.sender()
    assert 2 < sender._due - time.monotonic() < 6  # the next sender does not forget it either
    sender._due = 0.0
    sender.step()
    assert await at_us([event]) == {event["id"]}
    row = await sending.row()
    assert (row.attempts, row.state, row.position, row.last_error) == (0, "up", 2, "")


class StandIn:
    """A peer that answers to each question for its state `state`, and to events `answer`: status and body."""

    def __init__(self) -> None:
        self.state: tuple[int, bytes] = (200, b"{}")
        self.answer: tuple[int, bytes] = (200, b"{}")
        self.on_question: Callable[[], None] = lambda: None
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stand_in.on_question()
                self._say(*stand_in.state)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._say(*stand_in.answer)

            def _say(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_said: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def fails(self, *, storing: bool) -> None:
        """One event that is sent cannot be stored."""
        self.answer = 200, encode(Taken([Outcome(Fate.FAILED, "error: could not store")], Accepts(), storing))


@pytest.fixture
async def stand_in(sending: Sending) -> AsyncIterator[StandIn]:
    made = StandIn()
    await sending.change(endpoint=made.endpoint)
    yield made
    made.close()


async def test_a_peer_that_answers_and_stores_nothing_is_down_until_it_has_taken_a_batch(
    sending: Sending, scribe: Scribe, stand_in: StandIn, new: Callable[..., Event]
) -> None:
    await scribe.write(new())
    stand_in.fails(storing=False)
    sender, states = await sending.sender(), []
    for _ in range(9):
        sender._due = 0.0
        sender.step()
        states.append((await sending.row()).state)
    assert states == ["up"] * 4 + ["down"] * 5
    assert await sending.letters() == []

    stand_in.answer = 200, encode(Taken([Outcome(Fate.STORED)], Accepts()))
    sender._due = 0.0
    sender.step()
    row = await sending.row()
    assert (row.state, row.attempts, row.position) == ("up", 0, 1)


async def test_a_peer_that_is_down_is_up_when_nothing_is_left_to_send(
    sending: Sending, scribe: Scribe, stand_in: StandIn
) -> None:
    sending.connection.execute("UPDATE replication_peerlane SET state = 'down', attempts = 7")
    (await sending.sender()).step()
    row = await sending.row()
    assert (row.state, row.attempts) == ("up", 0)


async def test_what_refuses_every_request_is_no_fault_of_an_event(
    sending: Sending, scribe: Scribe, stand_in: StandIn, new: Callable[..., Event]
) -> None:
    """A proxy that speaks TLS says 400 to plain HTTP."""
    await scribe.write(new(), new(), new())
    stand_in.state = stand_in.answer = 400, b"The plain HTTP request was sent to HTTPS port"
    sender = await sending.sender()
    for _ in range(12):
        sender._due = 0.0
        sender.step()
    row = await sending.row()
    assert await sending.letters() == []
    assert (row.position, row.state) == (0, "down")


async def test_an_event_is_not_given_up_for_tries_that_had_no_answer(
    sending: Sending, scribe: Scribe, stand_in: StandIn, new: Callable[..., Event]
) -> None:
    event = new()
    await scribe.write(event)
    sender, letters = await sending.sender(), []
    stand_in.answer = 503, b""
    for number in range(9):
        if number == 4:
            stand_in.fails(storing=True)
        sender._due = 0.0
        sender.step()
        letters.append(len(await sending.letters()))
    assert letters == [0] * 8 + [1]
    assert await sending.letters() == [(event["id"], "error")]


async def test_an_event_that_the_peer_cannot_store_is_given_up_however_short_the_runs_are(
    sending: Sending, scribe: Scribe, stand_in: StandIn, new: Callable[..., Event]
) -> None:
    await scribe.write(new())
    stand_in.fails(storing=True)
    letters = []
    for _ in range(5):
        sender = await sending.sender(holder="this test")
        sender._due = 0.0
        sender.step()
        letters.append(len(await sending.letters()))
    assert letters == [0] * 4 + [1]
    assert (await sending.row()).position == 1


async def test_the_lease_outlasts_a_question_to_a_peer_that_is_down(
    sending: Sending, scribe: Scribe, stand_in: StandIn
) -> None:
    left: list[float] = []
    question = "SELECT extract(epoch FROM max(lease_until) - clock_timestamp())::float8 FROM replication_peerlane"

    def note() -> None:
        left.append(sending.connection.execute(question).fetchall()[0][0])

    stand_in.on_question = note
    sending.connection.execute("UPDATE replication_peerlane SET state = 'down', attempts = 5")
    sender = await sending.sender()
    sending.connection.execute("UPDATE replication_peerlane SET lease_until = lease_until - interval '4 seconds'")
    sender._renewed -= 4
    await asyncio.to_thread(sender.step)
    assert left[0] > TIMEOUT_SECONDS + 2


async def test_a_lane_that_has_nothing_to_send_any_more_has_no_speed(
    sending: Sending, scribe: Scribe, new: Callable[..., Event]
) -> None:
    await scribe.write(new())
    sender = await sending.sender()
    sender.step()
    assert (await sending.row()).events_per_second > 0
    sender._due, sender._noted = 0.0, 0.0
    sender.step()
    assert (await sending.row()).events_per_second == 0


async def test_only_the_holder_of_the_lease_moves_the_cursor(
    sending: Sending, scribe: Scribe, new: Callable[..., Event]
) -> None:
    frozen = await sending.sender()
    assert Cursor.take(sending.connection, sending.peer, Lane.NORMAL, "another") is None
    sending.connection.execute("UPDATE replication_peerlane SET lease_until = now() - interval '1 second'")
    await scribe.write(new())
    other = await sending.sender(holder="another")
    other.step()
    await scribe.write(new())
    with pytest.raises(LeaseLost):
        frozen.step()
    assert (await sending.row()).position == 1


async def test_a_log_that_was_pruned_is_left_to_anti_entropy(
    sending: Sending, scribe: Scribe, at_us: Found, new: Callable[..., Event]
) -> None:
    lost, kept = new(), new()
    await scribe.write(lost)
    await scribe.write(kept)
    await Region.objects.filter(pk=sending.peer.pk).aupdate(repair_asked_at=None)
    sending.connection.execute("DELETE FROM relay_change WHERE seq = 1")
    sender = await sending.sender()
    sender.step()
    sender.step()
    assert await at_us([lost, kept]) == {kept["id"]}
    peer = await Region.objects.aget(pk=sending.peer.pk)
    assert peer.repair_asked_at is not None
    assert "pruned" in peer.repair_reason


async def test_after_a_promotion_the_newest_changes_are_sent_again(
    sending: Sending, scribe: Scribe, at_us: Found, new: Callable[..., Event]
) -> None:
    event = new()
    await scribe.write(event)
    sending.connection.execute("UPDATE replication_peerlane SET epoch = epoch - 1, position = 1")
    sender = await sending.sender()
    sender.step()
    sender.step()
    assert await at_us([event]) == {event["id"]}
    assert (await sending.row()).position == 1


async def test_one_event_that_makes_a_request_unreadable_does_not_stop_the_lane(
    sending: Sending, scribe: Scribe, at_us: Found, new: Callable[..., Event]
) -> None:
    events = [new() for _ in range(5)]
    await scribe.write(*events)
    sending.connection.execute("UPDATE relay_event SET json = '{' WHERE id = %s", [bytes.fromhex(str(events[2]["id"]))])
    sender = await sending.sender()
    while (await sending.row()).position < 5:
        sender.step()
    assert await at_us(events) == {event["id"] for event in events} - {events[2]["id"]}
    assert await sending.letters() == [(events[2]["id"], "error")]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"own_only": False},
        {"may_read_private": True},
        {"send": "kinds", "send_kinds": [1, 1059]},
        {"send": "kinds", "send_kinds": [7, 30_023], "may_read_private": True, "own_only": False},
        {"send": "authors", "send_authors": [pubkey_of(secret(1))]},
    ],
    ids=str,
)
async def test_sql_and_predicate_select_the_same(
    sending: Sending, scribe: Scribe, new: Callable[..., Event], settings: dict[str, Any]
) -> None:
    await sending.change(**settings)
    selected = Selected.of(sending.peer)
    made, expected = [], set()
    for kind in (0, 1, 4, 5, 7, 17, 1059, 9735, 10_002, 30_023):
        for origin in (0, sending.peer.origin, sending.peer.origin + 1):
            for number in (1, 2):
                event = new(secret_key=secret(number), kind=kind, created_at=NOW + origin - sending.peer.origin)
                made.append(entry(event).__class__(*_fields(event, origin)))
                if selected.sends(kind, event["pubkey"], origin):
                    expected.add(event["id"])
    await scribe.write_entries(made)
    sent, stored = set(), set(_stored(sending.connection))
    for lane in Lane:
        page = read_page(sending.connection, lane, selected, 0, events=500, size=1_000_000)
        assert {lane_of(event.kind) for event in page.events} <= {lane}
        sent |= {event.id for event in page.events}
    assert sent == expected & stored


def _fields(event: Event, origin: int) -> list[Any]:
    made = entry(event)
    return [made.event, made.d, origin, made.targets, made.vanishes]


def _stored(connection: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in connection.execute("SELECT encode(id, 'hex') FROM relay_event").fetchall()]


async def test_a_dead_letter_that_is_sent_again_and_taken_is_forgotten(
    sending: Sending, scribe: Scribe, at_us: Found, new: Callable[..., Event]
) -> None:
    good, refused, removed = new(), new(created_at=NOW + 5_000), new()
    await scribe.write(good, refused)
    letters = [
        await DeadLetter.objects.acreate(
            peer=sending.peer,
            event_id=event["id"],
            event_created_at=event["created_at"],
            kind=1,
            reason_class="other",
            reason="before",
        )
        for event in (good, refused, removed)
    ]
    done = await on_own_connection(send_again, sending.connection, [letter.pk for letter in letters])
    assert done == 2
    assert await at_us([good, refused]) == {good["id"]}
    assert await sending.letters() == [(refused["id"], "invalid")]


async def letters_of(peer: Region, *events: Event) -> list[int]:
    """The numbers of letters about these events."""
    made = [
        await DeadLetter.objects.acreate(
            peer=peer, event_id=event["id"], event_created_at=event["created_at"], kind=1, reason_class="blocked",
            reason="blocked: before",
        )
        for event in events
    ]  # fmt: skip
    return [letter.pk for letter in made]


async def test_letters_to_a_peer_that_does_not_answer_stay_as_they_are(
    sending: Sending, scribe: Scribe, new: Callable[..., Event]
) -> None:
    events = [new(), new()]
    await scribe.write(*events)
    numbers = await letters_of(sending.peer, *events)
    await sending.change(endpoint="http://127.0.0.1:9")
    with pytest.raises(PeerError, match="does not answer"):
        await on_own_connection(send_again, sending.connection, numbers)
    found = [(each.reason, each.tries) async for each in DeadLetter.objects.all()]
    assert found == [("blocked: before", 1)] * 2


async def test_one_letter_that_the_peer_cannot_read_keeps_the_others_from_nothing(
    sending: Sending, scribe: Scribe, at_us: Found, new: Callable[..., Event], tables: Tables
) -> None:
    events = [new(), new(), new()]
    await scribe.write(*events)
    numbers = await letters_of(sending.peer, *events)
    tables.connection.execute("UPDATE relay_event SET json = '{' WHERE id = %s", [bytes.fromhex(str(events[1]["id"]))])
    assert await on_own_connection(send_again, sending.connection, numbers) == 2
    assert await at_us(events) == {events[0]["id"], events[2]["id"]}
    assert await sending.letters() == [(events[1]["id"], "error")]


@pytest.mark.parametrize("change", [{"may_read_private": False}, {"enabled": False}], ids=["private", "disabled"])
async def test_a_dead_letter_is_not_sent_again_to_a_peer_that_may_not_have_it_any_more(
    sending: Sending, scribe: Scribe, at_us: Found, new: Callable[..., Event], change: dict[str, bool]
) -> None:
    event = new(kind=4 if "may_read_private" in change else 1)
    await scribe.write(event)
    letter = await DeadLetter.objects.acreate(
        peer=sending.peer, event_id=event["id"], event_created_at=NOW, kind=event["kind"], reason_class="blocked"
    )
    await sending.change(**change)
    assert await on_own_connection(send_again, sending.connection, [letter.pk]) == 0
    assert await sending.letters() == [(event["id"], "blocked")]
