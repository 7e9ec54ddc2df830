"""What happens in a run over two processes and their cache, and what each client must be told.

The events of one run have keys and a topic of their own, and its filters ask for no others, so that many runs may share
one store. What must be served is said by the oracles alone: `Served` over all events that were sent, `naive_query` for
the reader.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from hypothesis import strategies as st

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Stored
from tests.acceptance.protocol.places import Cache, Place, patient
from tests.integration.storage.gone import Served
from tests.oracle import naive_query

Json = dict[str, Any]
Drawn = TypeVar("Drawn")
Draw = Callable[[st.SearchStrategy[Drawn]], Drawn]

MAX_LIMIT = 8
DEFAULT_LIMIT = 4
FOR_LOGINS = (1_984,)
SETTINGS = {
    "RELAY_MAX_LIMIT": str(MAX_LIMIT),
    "RELAY_DEFAULT_LIMIT": str(DEFAULT_LIMIT),
    "RELAY_AUTH_TO_READ": "1984",
}
KINDS = [0, 1, 1, 1, 4, 1_059, 1_984, 10_002, 30_023, 30_023]
BASE = 1_700_000_000
REFUSALS = ("duplicate: have newer", "invalid: event expired", "blocked: deleted by author")
PAUSED_STEPS = 5
"""The supervisor replaces a worker that is silent for RELAY_HEARTBEAT_SECONDS."""

_requests = itertools.count()


class Cast:
    """The keys and the topic of one run, and the events that it makes."""

    def __init__(self, draw: Draw[Any]) -> None:
        self._draw = draw
        self.authors = [Author() for _ in range(3)]
        self.topic = self.authors[0].pubkey[:16]
        self.known: list[Json] = []

    @property
    def keys(self) -> list[str]:
        return [author.pubkey for author in self.authors]

    def one(self, choices: Iterable[Drawn]) -> Drawn:
        """One of them."""
        found: Drawn = self._draw(st.sampled_from(list(choices)))
        return found

    def event(self, *, expiring: bool = True, deletions: bool = True) -> Json:
        """Few times, kinds and authors, so that events replace and delete each other; some expire soon."""
        if deletions and self.known and self.one(range(4)) == 0:
            return self.deletion()
        author, kind = self.one(self.authors), self.one(KINDS)
        tags = [["t", self.topic]]
        if kind in {4, 1_059} or self.one(range(3)) == 0:
            tags.append(["p", self.one(self.keys)])
        if kind == 30_023:
            tags.append(["d", self.one(["", "x"])])
        if expiring and kind == 1 and self.one(range(4)) == 0:
            tags.append(["expiration", str(int(time.time()) + self.one([1, 2]))])
        event = author.event(str(next(_requests)), kind=kind, tags=tags, at=BASE - self.one(range(5)))
        self.known.append(event)
        return event

    def deletion(self) -> Json:
        """A kind 5 of an author against something that is known: by its id, or by its address."""
        author, target = self.one(self.authors), self.one(self.known)
        tags = [["e", target["id"]]]
        if target["kind"] in {0, 10_002, 30_023} and self.one([True, False]):
            d = next((tag[1] for tag in target["tags"] if tag[0] == "d"), "")
            tags = [["a", f"{target['kind']}:{author.pubkey}:{d}"]]
        return author.event(kind=5, tags=[["t", self.topic], *tags], at=BASE - self.one(range(4)))

    def vanish(self) -> Json:
        """A request of an author, who goes on afterwards."""
        tags = [["relay", "ALL_RELAYS"], ["t", self.topic]]
        return self.one(self.authors).event(kind=62, tags=tags, at=BASE - self.one(range(1, 5)))

    def filters(self) -> list[Json]:
        """What concerns this run alone."""
        several = [{"authors": self.keys[:1], "kinds": [0, 10_002]}, {"#t": [self.topic], "limit": 2}]
        found: list[Json] = self.one(
            [
                [{"#t": [self.topic]}],
                [{"#t": [self.topic], "limit": 3}],
                [{"authors": self.keys}],
                [{"authors": self.keys[:1]}],
                [{"authors": self.keys, "kinds": [1], "limit": 5}],
                [{"authors": self.keys, "until": BASE - 1}],
                [{"authors": self.keys[:2], "kinds": [0, 10_002, 30_023]}],
                [{"#p": self.keys}],
                [{"#p": self.keys[:1], "kinds": [1_059]}],
                [{"kinds": [4, 1_984], "authors": self.keys}],
                several,
                *([[{"ids": [event["id"] for event in self.known[-6:]]}]] if self.known else []),
            ]
        )
        return found


class Asked:
    """A query that is under way: since when, and with which keys."""

    def __init__(self, client: Client, filters: list[Json], keys: Sequence[str]) -> None:
        self.client = client
        self.filters = filters
        self.keys = list(keys)
        self.name = f"q{next(_requests)}"
        self.since = int(time.time())

    async def send(self) -> None:
        await self.client.send("REQ", self.name, *self.filters)

    async def answer(self) -> Stored:
        found = await self.client.stored(self.name)
        await self.client.send("CLOSE", self.name)
        return found


class Run:
    """Two places, two clients at each, one of which logs in; and what all of them have acknowledged."""

    def __init__(self, draw: Draw[Any], places: Sequence[Place], cache: Cache) -> None:
        self.cast = Cast(draw)
        self.state = Served()
        self.trace: list[str] = []
        self._places = places
        self._cache = cache
        self._stack = AsyncExitStack()
        self._clients: list[list[Client]] = []
        self._proved: list[Author] = []
        self._waiting: list[Asked] = []
        self._paused_steps = 0

    async def __aenter__(self) -> "Run":
        for place in self._places:
            self._clients.append(await self._connected(place))
        return self

    async def __aexit__(self, *_: object) -> None:
        for place in self._places:
            if place.is_paused:
                place.resume()
        await self._stack.aclose()
        self._cache.mend()

    async def _connected(self, place: Place) -> list[Client]:
        """A client that stays anonymous, and one that has proved what was proved so far."""
        found = [await self._stack.enter_async_context(patient(place)) for _ in range(2)]
        await found[1].log_in(*self._proved)
        return found

    @property
    def _awake(self) -> list[int]:
        return [number for number, place in enumerate(self._places) if not place.is_paused]

    # -- Steps ---------------------------------------------------------------------------------------------------------

    async def step(self) -> None:
        """One thing that happens, drawn, and queries at all places."""
        await getattr(self, self.cast.one(STEPS))()
        if len(self._awake) < len(self._places):
            self._paused_steps += 1
            if self._paused_steps > PAUSED_STEPS:
                await self.resume()
        await self.ask()

    async def publish(self) -> None:
        await self._publish([(self.cast.one(self._awake), self.cast.event())])

    async def burst(self) -> None:
        """Events at all places at once: any order ends in the same served set (09-17)."""
        events = {event["id"]: event for event in [self.cast.event() for _ in range(self.cast.one([2, 3, 5]))]}
        await self._publish([(self.cast.one(self._awake), event) for event in events.values()])

    async def arrive(self, events: Sequence[Json]) -> None:
        """These events, in this order, each at one of the places, without waiting in between."""
        await self._publish([(self.cast.one(self._awake), event) for event in events])

    async def vanish(self) -> None:
        await self._publish([(self.cast.one(self._awake), self.cast.vanish())])

    async def again(self) -> None:
        """An event that is known, whatever has become of it."""
        if self.cast.known:
            await self._publish([(self.cast.one(self._awake), self.cast.one(self.cast.known))])

    async def log_in(self) -> None:
        if self._awake != [0, 1]:
            return
        author = self.cast.one(self.cast.authors)
        self.trace.append(f"log in as {author.pubkey[:6]}")
        self._proved.append(author)
        for clients in self._clients:
            assert (await clients[1].log_in(author))[0].accepted

    async def pause(self) -> None:
        """Stop one process; what is asked of it meanwhile is answered when it goes on."""
        if self._awake != [0, 1]:
            return await self.resume()
        number = self.cast.one(self._awake)
        self.trace.append(f"pause {number}")
        self._places[number].pause()
        self._paused_steps = 0
        return None

    async def resume(self) -> None:
        for number, place in enumerate(self._places):
            if place.is_paused:
                self.trace.append(f"resume {number}")
                place.resume()
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            self._check(asked, await asked.answer())

    async def restart(self) -> None:
        """Kill one process: its clients come to the new one."""
        await self.resume()
        number = self.cast.one(self._awake)
        self.trace.append(f"restart {number}")
        await asyncio.to_thread(self._places[number].restart)
        self._clients[number] = await self._connected(self._places[number])

    async def cut(self) -> None:
        """The cache, and with it the bus, is away until it is mended."""
        self.trace.append("cut")
        self._cache.cut(self.cast.one(["gone", "hangs"]))

    async def mend(self) -> None:
        self.trace.append("mend")
        self._cache.mend()

    async def keep(self) -> None:
        self._cache.keep()

    async def put_back(self) -> None:
        """The cache holds what it held before."""
        self.trace.append("put back")
        self._cache.put_back()

    async def wait(self) -> None:
        """Some events expire."""
        await asyncio.sleep(self.cast.one([0.05, 1.0]))

    # -- Events and answers --------------------------------------------------------------------------------------------

    async def _publish(self, sent: Sequence[tuple[int, Json]]) -> None:
        for number, event in sent:
            self.trace.append(f"publish at {number}: {event['id'][:6]} kind {event['kind']} {event['tags'][1:]}")
            await self._clients[number][0].send("EVENT", event)
        for number, event in sent:
            answer = await self._clients[number][0].answer_to(event["id"])
            assert answer.accepted or answer.text.startswith(REFUSALS), (answer, self.trace)
        self.state = self.state.after(event for _, event in sent)

    async def ask(self, times: int = 2) -> None:
        """At all places, by both clients of each; the answers of one that is paused come when it goes on."""
        asked: list[Asked] = []
        for number, clients in enumerate(self._clients):
            for client, _ in itertools.product(clients, range(times)):
                keys = [author.pubkey for author in self._proved] if client is clients[1] else []
                query = Asked(client, self.cast.filters(), keys)
                await query.send()
                (asked if number in self._awake else self._waiting).append(query)
        for query in asked:
            self._check(query, await query.answer())

    def _check(self, asked: Asked, found: Stored) -> None:
        refused = (found.closed or "").startswith(("auth-required: ", "restricted: "))
        assert found.closed is None or refused, (found.closed, self.trace)
        right = [self._expected(asked, now) for now in range(asked.since, int(time.time()) + 1)]
        assert found.ids in right, "\n".join(
            [*self.trace, f"asked with {asked.keys}: {asked.filters}", f"got {found.ids}", f"not {right[0]}"]
        )

    def _expected(self, asked: Asked, now: int) -> list[str]:
        held = self.state.known.values()
        found = naive_query(held, asked.filters, now, MAX_LIMIT, DEFAULT_LIMIT, asked.keys, False, FOR_LOGINS)
        return [event["id"] for event in found]


STEPS = [
    *["publish"] * 8,
    *["burst"] * 4,
    *["again"] * 2,
    *["log_in"] * 2,
    *["pause"] * 3,
    *["keep", "put_back", "cut", "mend", "mend", "vanish", "wait", "restart"],
]
"""Names of the steps of a run, as often as they are to be drawn."""
