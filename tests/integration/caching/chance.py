"""What a seed makes happen to two relays: events, filters, and deeds of clients and operators."""

import asyncio
import random
import time
from typing import Any

from hypothesis import HealthCheck, given, settings

from tests import strategies
from tests.events import NOW, pubkey_of, sign_event
from tests.integration.caching.model import MAX_LIMIT, Model

Json = dict[str, Any]

KINDS = [0, 1, 1, 1, 4, 1_059, 7, 1_984, 10_002, 30_023]
THREADS = ["a" * 64, "b" * 64]

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


def draw_filters() -> list[list[Json]]:
    """Filters of all sorts from the strategies, drawn once."""
    found: list[list[Json]] = []

    @settings(max_examples=150, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(strategies.filter_lists(max_size=3, max_limit=MAX_LIMIT))
    def draw(filters: list[Json]) -> None:
        found.append(filters)

    draw()
    return found


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


async def act(model: Model, chance: Chance, deed: str) -> None:
    """Publish, ask meanwhile, remove or sweep, as the deed says; any other name is nothing."""
    match deed:
        case "publish":
            await model.publish(chance.randrange(2), [chance.event()])
        case "burst":
            await asyncio.gather(*[model.publish(place, chance.events(12)) for place in (0, 1)])
        case "race":
            await model.race(chance.randrange(2), chance.events(3), chance.filters(), chance.keys())
        case "vanish":
            await model.publish(chance.randrange(2), [chance.vanish()])
        case "remove" if chance.known:
            await model.remove(chance.choice(chance.known)["id"])
        case "sweep":
            await model.sweep()
