"""A cache never changes an answer: two relays, random work, and a cache that is flushed, held up, damaged and stopped.

Each answer, asked on either relay right after the OK, equals the oracle's. What happens is drawn from a seed, which a
failure prints; TEST_CACHE_EXAMPLES sets how many seeds are tried, from TEST_CACHE_FIRST on.
"""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given, settings

from relay.conf import config
from relay.freshness.ack_table import make
from relay.protocol.visibility import keep_for_logins
from relay.services import follow
from relay.services.runtime import Relay
from tests import strategies
from tests.events import NOW, pubkey_of, sign_event
from tests.integration.caching.cable import Cable
from tests.integration.caching.model import FOR_LOGINS, MAX_LIMIT, Model, limits
from tests.integration.caching.valkeys import Node, folder, free_ports, nodes, until
from tests.integration.order.conftest import StartRelay
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db

Json = dict[str, Any]

FIRST = int(os.environ.get("TEST_CACHE_FIRST", "0"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("TEST_CACHE_EXAMPLES", "1")))
STEPS = 60
KINDS = [0, 1, 1, 1, 4, 1_059, 7, 1_984, 10_002, 30_023]
THREADS = ["a" * 64, "b" * 64]

SMALL = {"window_bytes": 40_000, "ring_bytes": 40_000}  # some twenty events, some thirty changes
NO_WINDOW = {"window_bytes": 0, "ring_bytes": 60_000}
PLENTY = {"window_bytes": 2**24, "ring_bytes": 2**24}
SIZES = {"small": SMALL, "no window": NO_WINDOW, "plenty": PLENTY}

FAVOURITES: list[list[Json]] = [
    [{"kinds": [1]}],
    [{"kinds": [1], "limit": 3}],
    [{"kinds": [1], "until": NOW - 1, "limit": 5}],
    [{"kinds": [7, 1], "since": NOW - 2}],
    [{"authors": strategies.PUBKEYS[:1], "limit": 6}],
    [{"authors": strategies.PUBKEYS[:1], "kinds": [0, 10_002]}],
    [{"authors": strategies.PUBKEYS[:3], "kinds": [1], "limit": 4}],
    [{"kinds": [0, 10_002, 30_023]}],
    [{"#e": THREADS[:1]}],
    [{"#e": THREADS[:1], "kinds": [1], "limit": 2}],
    [{}],
    [{"limit": 0}, {"kinds": [7]}],
    [{"authors": strategies.PUBKEYS[:1], "kinds": [0]}],
    [{"kinds": [4, 1_059]}],
    [{"kinds": [1_984]}],
    [{"kinds": [1_984, 7], "limit": 3}],
    [{"kinds": [1_059], "#p": strategies.PUBKEYS[:1]}],
    [{"#p": strategies.PUBKEYS[:2], "limit": 4}],
    [{"kinds": [1], "limit": 2}, {"authors": strategies.PUBKEYS[1:2]}],
]


def _drawn() -> list[list[Json]]:
    """Filters of all sorts from the strategies, drawn once."""
    found: list[list[Json]] = []

    @settings(max_examples=150, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(strategies.filter_lists(max_size=3, max_limit=MAX_LIMIT))
    def draw(filters: list[Json]) -> None:
        found.append(filters)

    draw()
    return found


@pytest.fixture(scope="module")
def drawn() -> list[list[Json]]:
    return _drawn()


@pytest.fixture(autouse=True)
def kinds_for_logins() -> Iterator[None]:
    keep_for_logins(FOR_LOGINS)
    yield
    keep_for_logins(())


@pytest.fixture
def servers() -> Iterator[tuple[Node, Node]]:
    """A Valkey for the cache and one for the bus."""
    with folder() as path, nodes(path, free_ports(2)) as (cache, bus):
        yield cache, bus


@pytest.fixture
async def bus(
    servers: tuple[Node, Node], start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cable]:
    """The cable through which all relays of this test reach their bus."""
    async with Cable(servers[1].port) as cable:
        monkeypatch.setattr(django_settings, "BUS_URL", (cable.url,))
        config.cache_clear()
        yield cable
    config.cache_clear()


class Chance(random.Random):
    """What a seed makes happen."""

    def __init__(self, seed: int, drawn: list[list[Json]]) -> None:
        super().__init__(seed)
        self.drawn = drawn
        self.known: list[Json] = []

    def event(self) -> Json:
        """Few seconds, kinds, authors and threads; now and then one that expires soon, or one that is known."""
        if self.known and self.random() < 0.05:
            return self.choice(self.known)
        if self.known and self.random() < 0.12:
            return self.deletion()
        kind = self.choice(KINDS)
        tags = [["e", self.choice(THREADS)]] if self.random() < 0.4 else []
        if self.random() < 0.4:
            tags.append(["p", self.choice(strategies.PUBKEYS)])
        if kind == 30_023:
            tags.append(["d", self.choice(["", "x"])])
        if kind == 1 and self.random() < 0.3:
            tags.append(["expiration", str(int(time.time()) + self.choice([1, 2, 3]))])
        event = sign_event(
            self.choice(strategies.AUTHORS), kind=kind, tags=tags, created_at=NOW - self.choice([0, 0, 1, 1, 2, 3, 8]),
            content=str(self.random()),
        )  # fmt: skip
        self.known.append(event)
        return event

    def deletion(self) -> Json:
        """A kind 5 against something that is known, by its author or any key, or against an address."""
        target = self.choice(self.known)
        authors = [key for key in strategies.AUTHORS if pubkey_of(key) == target["pubkey"] or self.random() < 0.1]
        author = self.choice(authors or strategies.AUTHORS)
        tags = [["e", target["id"]]]
        if self.random() < 0.3:
            tags.append(["a", f"{self.choice(['0', '10002', '30023'])}:{pubkey_of(author)}:"])
        event = sign_event(author, kind=5, tags=tags, created_at=NOW, content=str(self.random()))
        self.known.append(event)
        return event

    def vanish(self) -> Json:
        tags = [["relay", "ALL_RELAYS"]]
        created_at = NOW - self.choice([1, 2, 3, 8])
        return sign_event(self.choice(strategies.AUTHORS), kind=62, tags=tags, created_at=created_at)

    def events(self, most: int) -> list[Json]:
        unique = {event["id"]: event for event in [self.event() for _ in range(self.randint(1, most))]}
        return list(unique.values())

    def keys(self) -> list[str]:
        """What a client has proved: nothing in two cases of three."""
        return self.choice([[], [], self.sample(strategies.PUBKEYS, self.choice([1, 2]))])

    def filters(self) -> list[Json]:
        throw = self.random()
        if throw < 0.15 and self.known:
            return [{"ids": [event["id"] for event in self.choices(self.known, k=self.choice([1, 1, 3]))]}]
        return self.choice(FAVOURITES if throw < 0.7 else self.drawn)


class Harm:
    """What happens to the cache."""

    def __init__(self, server: Node, chance: Chance) -> None:
        self._server = server
        self._chance = chance
        self._is_up = True
        self.kinds = [self.flush, self.pause, self.damage, self.damage, self.damage, self.stop]

    def anything(self) -> str:
        """Harm it, or start it again; returns what was done."""
        if not self._is_up:
            return self.start()
        harm = self._chance.choice(self.kinds)
        with contextlib.suppress(Exception):  # it may be held up already
            return harm() or harm.__name__
        return f"{harm.__name__} in vain"

    def flush(self) -> str | None:
        self._server.run("FLUSHALL")
        return None

    def pause(self) -> str | None:
        self._server.admin.client_pause(self._chance.randint(20, 300))
        return None

    def damage(self) -> str:
        """Overwrite some of the copies, in part or wholly; also with the value of another key."""
        keys = [key.decode() for key in self._server.run("KEYS", "*")]
        some = self._chance.sample(sorted(keys), min(len(keys), 6))
        for key in some:
            kind = self._chance.randrange(4)
            if kind == 0:
                self._server.admin.set(key, self._chance.randbytes(60))
            elif kind == 1:
                self._server.admin.setrange(key, self._chance.randrange(48), chr(self._chance.randrange(128)))
            elif kind == 2:
                self._server.run("HSET", key, "a", "b") if self._server.run("DEL", key) else None
            else:
                self._server.run("COPY", self._chance.choice(keys), key, "REPLACE")
        return f"damage {len(some)}"

    def stop(self) -> str | None:
        self._is_up = False
        self._server.kill()
        return None

    def start(self) -> str:
        self._is_up = True
        self._server.start()
        self._server.wait()
        return "start"


async def two_relays(start_relay: StartRelay, server: Node, sizes: dict[str, int], *, neighbours: bool) -> list[Relay]:
    """Two workers of one instance, which has the store for itself, or two instances."""
    shared = [make(2)] * 2 if neighbours else [make(1), make(1)]
    places = [(shared[0], "1"), (shared[1], "2" if neighbours else "1")]
    try:
        relays = [
            await start_relay(
                cache_url=server.url, cache_layers="l1+l2", limits=limits(), ack_table=board, worker=worker, **sizes
            )
            for board, worker in places
        ]
    finally:
        for descriptor in set(shared):
            os.close(descriptor)
    await until(lambda: all(relay.shared is not None and relay.shared.up for relay in relays))
    return relays


async def restart(model: Model, place: int, start_relay: StartRelay, server: Node, sizes: dict[str, int]) -> None:
    """From here on a process that has just started is asked in place of another one, which goes on."""
    board = make(1)
    try:
        model.relays[place] = await start_relay(
            cache_url=server.url, cache_layers="l1+l2", limits=limits(), ack_table=board, worker="1", **sizes
        )
    finally:
        os.close(board)
    model.trace.append(f"new process at {place}")


async def step(model: Model, chance: Chance, harm: Harm) -> None:
    match chance.choices(
        ["publish", "burst", "race", "read", "harm", "clear", "sweep", "wait", "vanish", "remove"],
        [12, 4, 5, 14, 7, 2, 2, 2, 1, 1],
    )[0]:
        case "publish":
            await model.publish(chance.randrange(2), [chance.event()])
        case "burst":
            await asyncio.gather(*[model.publish(place, chance.events(12)) for place in (0, 1)])
        case "race":
            await model.race(chance.randrange(2), chance.events(3), chance.filters(), chance.keys())
        case "harm":
            model.trace.append(harm.anything())
        case "clear":
            model.clear(chance.randrange(2))
        case "vanish":
            await model.publish(chance.randrange(2), [chance.vanish()])
        case "remove" if chance.known:
            await model.remove(chance.choice(chance.known)["id"])
        case "sweep":
            await model.sweep()
        case "wait":
            await asyncio.sleep(chance.choice([0.02, 0.3, 0.7]))
    await asyncio.gather(*[model.check(chance.filters(), chance.keys()) for _ in range(3)])


def layers_used(relays: list[Relay]) -> dict[str, int]:
    found = [relay.answers for relay in relays if relay.answers is not None]
    return {
        "window": sum(answers.copies.window.counters.hits for answers in found),
        "results": sum(answers.copies.results.l1.hits for answers in found),
        "events": sum(answers.copies.events.l1.hits for answers in found),
        "shared": sum(answers.copies.results.l2.hits + answers.copies.events.l2.hits for answers in found),
    }


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", SIZES)
async def test_x_7_each_answer_is_the_oracles_whatever_becomes_of_the_cache(
    start_relay: StartRelay, servers: tuple[Node, Node], bus: Cable, drawn: list[list[Json]],
    tables: Tables, sizes: str, seed: int,
) -> None:  # fmt: skip
    chance = Chance(seed, drawn)
    neighbours = (list(SIZES).index(sizes) + seed) % 2 == 0
    relays = await two_relays(start_relay, servers[0], SIZES[sizes], neighbours=neighbours)
    model, harm = Model(relays), Harm(servers[0], chance)
    failures = sum(relay.reads.failures for relay in relays)
    for number in range(STEPS):
        if number == STEPS // 2:
            await restart(model, chance.randrange(2), start_relay, servers[0], SIZES[sizes])
        await step(model, chance, harm)
    used = layers_used(relays)
    print(sizes, seed, used)
    assert neighbours == any(relay.barrier.from_memory for relay in relays)
    assert used["results"] > 0 or used["window"] > 0
    assert sum(relay.reads.failures for relay in relays) == failures


@pytest.mark.parametrize("seed", SEEDS)
async def test_x_7_each_answer_is_the_oracles_with_the_bus_cut(
    start_relay: StartRelay, servers: tuple[Node, Node], bus: Cable, drawn: list[list[Json]],
    tables: Tables, monkeypatch: pytest.MonkeyPatch, seed: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(follow, "HEARTBEAT_SECONDS", 0.1)
    chance = Chance(seed, drawn)
    relays = await two_relays(start_relay, servers[0], SMALL, neighbours=seed % 2 == 0)
    model, harm = Model(relays), Harm(servers[0], chance)
    for number in range(STEPS):
        if number % 15 == 5:
            bus.cut()
            model.trace.append("bus cut")
        elif number % 15 == 14:
            bus.mend()
            model.trace.append("bus mended")
        await step(model, chance, harm)
