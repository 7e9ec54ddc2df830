"""Filters drawn by Hypothesis, random work, replicas whose replay stops and goes on: all agree with the oracle."""

import asyncio
import os
import random
import time
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from relay.freshness.ack_table import make
from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.filters import parse_filter
from relay.protocol.visibility import why_unreadable
from relay.services import follow
from relay.storage.read_result import id_in
from relay.storage.reads import Reads
from tests.integration.caching.chance import Chance, act
from tests.integration.caching.model import Model, expected, limits
from tests.integration.caching.test_exact import drawn, kinds_for_logins
from tests.integration.order.conftest import StartRelay
from tests.integration.replicas.conftest import Started
from tests.integration.storage.scribe import Tables
from tests.replica_server import Standby

__all__ = ["drawn", "kinds_for_logins"]

pytestmark = pytest.mark.django_db

Json = dict[str, Any]

FIRST = int(os.environ.get("TEST_REPLICA_FIRST", "0"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("TEST_REPLICA_EXAMPLES", "2")))
STEPS = 50
DEEDS = ["publish", "burst", "race", "replay", "vanish", "remove", "sweep"]
WEIGHTS = [10, 5, 5, 6, 1, 1, 2]


class Replay:
    """The replay of the standbys, which stops and goes on."""

    def __init__(self, servers: Sequence[Standby], chance: random.Random) -> None:
        self._servers = servers
        self._chance = chance
        self._paused: set[int] = set()

    async def change(self) -> str:
        number = self._chance.randrange(len(self._servers))
        self._paused ^= {number}
        server = self._servers[number]
        await asyncio.to_thread(server.pause if number in self._paused else server.resume)
        return f"replay of {number} {'stops' if number in self._paused else 'goes on'}"


async def check_primary(model: Model, reads: Reads, filters: Sequence[Json], keys: Collection[str]) -> None:
    """The primary answers as the oracle does."""
    parsed, audience = [parse_filter(each, limits()) for each in filters], Audience.of(keys) if keys else ANONYMOUS
    if why_unreadable(parsed, audience) is not None:
        return
    begin = int(time.time())
    found = [id_in(item).decode() for item in (await reads.query(parsed, audience)).events]
    right = [expected(model.state, [], filters, now, keys) for now in range(begin, int(time.time()) + 1)]
    assert found in right, (filters, keys)


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_answer_is_the_oracles_however_far_a_replica_lags(
    start_with_replicas: StartRelay, replicas: list[Standby], drawn: list[list[Json]], tables: Tables, reads: Reads,
    monkeypatch: pytest.MonkeyPatch, seed: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(follow, "HEARTBEAT_SECONDS", 0.1)
    chance = Chance(seed, drawn)
    boards = [make(2)] * 2 if seed % 2 else [make(1), make(1)]  # two workers of an instance, or two instances
    started: list[Started] = []
    for place, layers in enumerate(["none", "l1"]):
        worker = str(place + 1) if seed % 2 else "1"
        started.append(
            await start_with_replicas(limits=limits(), cache_layers=layers, ack_table=boards[place], worker=worker)
        )
    for descriptor in set(boards):
        os.close(descriptor)
    model, replay = Model([each.relay for each in started]), Replay(replicas, chance)
    for _ in range(STEPS):
        match chance.choices(DEEDS, WEIGHTS)[0]:
            case "replay":
                model.trace.append(await replay.change())
            case deed:
                await act(model, chance, deed)
        for _ in range(3):
            filters, keys = chance.filters(), chance.keys()
            await model.check(filters, keys)
            await check_primary(model, reads, filters, keys)
    answered = started[0].answered()
    assert answered["replica_1"] + answered["replica_2"] > answered["primary"], started[0].found.fallbacks
    for standby in replicas:
        await asyncio.to_thread(standby.resume)
