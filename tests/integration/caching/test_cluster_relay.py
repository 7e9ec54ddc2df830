"""Two relays on a Valkey Cluster: a master dies under load, no answer is wrong, and no client hears of it."""

import random
import time

import pytest
from redis.crc import key_slot

from relay.services.runtime import Relay
from tests.events import NOW, secret, sign_event
from tests.integration.caching.model import Json, Model, limits
from tests.integration.caching.valkeys import cluster, until
from tests.integration.order.conftest import StartRelay
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db

AUTHORS = [secret(number) for number in range(1, 4)]
FILTERS: list[list[Json]] = [[{"kinds": [1], "limit": 20}], [{"kinds": [0]}], [{"kinds": [1], "until": NOW - 3}], [{}]]
LOAD_SECONDS = 1.0
RECOVERY_SECONDS = 30.0


async def test_a_master_dies_under_load_and_each_answer_is_right(start_relay: StartRelay, tables: Tables) -> None:
    """A master of the keys of answers, so that the answers which its replica has not got are lost."""
    with cluster() as six:
        relays = [
            await start_relay(cache_url=six.url, cache_layers="l1+l2", window_bytes=window, limits=limits())
            for window in (0, 30_000)
        ]
        await until(lambda: all(is_well(relay) for relay in relays))
        model, chance = Model(relays), random.Random(7)

        async def load(seconds: float) -> None:
            end = time.monotonic() + seconds
            while True:
                events = [
                    sign_event(chance.choice(AUTHORS), kind=chance.choice([0, 1, 1]), content=str(chance.random()),
                               created_at=NOW - chance.randrange(6))
                    for _ in range(3)
                ]  # fmt: skip
                await model.publish(chance.randrange(2), events)
                await model.check(chance.choice(FILTERS))
                if time.monotonic() >= end:
                    return

        await load(LOAD_SECONDS)
        victim = six.master_of(key_slot(b"{" + relays[0].store().name.encode() + b":results:0}"))

        killed = time.monotonic()
        victim.kill()
        # First they must find it out.
        while any(is_well(relay) for relay in relays) and time.monotonic() - killed < 1.0:
            await load(0.0)
        while not all(is_well(relay) for relay in relays):
            await load(0.05)
            assert time.monotonic() - killed < RECOVERY_SECONDS
        print(f"every slot has a master again after {time.monotonic() - killed:.1f} s")

        await load(LOAD_SECONDS)


def is_well(relay: Relay) -> bool:
    return relay.shared is not None and relay.shared.up
