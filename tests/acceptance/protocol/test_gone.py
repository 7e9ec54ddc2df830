"""What is gone stays gone (X-7): told to one worker, seen on one that was paused meanwhile, and on one that starts
afterwards, whose shared cache holds again what it held before.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import product
from typing import Any, NamedTuple, Self

from redis import Redis

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.conftest import StartRelay
from tests.acceptance.faults.workers import client_of
from tests.acceptance.operators import as_operator, ban, remove
from tests.acceptance.relay_process import RelayProcess, wait_for

Json = dict[str, Any]
EXPIRES_SECONDS = 4


class Case(NamedTuple):
    """`gone` goes when `ending` is published, or the statement is called as an operator's; `left` is served then."""

    gone: Json
    left: Sequence[Json]
    ending: Json | None = None
    statement: str = ""


def cases(reader: Author) -> dict[str, Case]:
    """One of each way to go; `reader` is who the gift wraps are for."""
    deleting, replacing, expiring, banned, removed, leaving, wrapping = (Author() for _ in range(7))
    now = int(time.time())
    place = [["d", "x"]]
    note = deleting.event("deleted")
    deletion = deleting.event(kind=5, tags=[["e", note["id"]]])
    old, new = (replacing.event(name, kind=30_000, at=at, tags=place) for name, at in (("old", now - 1), ("new", now)))
    short = expiring.event("short", tags=[["expiration", str(now + EXPIRES_SECONDS)]])
    vanish = leaving.event(kind=62, tags=[["relay", "ALL_RELAYS"]])
    wrap, other_wrap = (wrapping.event(name, kind=1_059, tags=[["p", reader.pubkey]]) for name in ("one", "other"))
    wrap_deletion = reader.event(kind=5, tags=[["e", wrap["id"]]])
    spam, taken = banned.event("spam"), removed.event("taken")
    return {
        "another wrap": Case(other_wrap, [other_wrap]),
        "deleted": Case(note, [deletion], deletion),
        "deleted by its recipient": Case(wrap, [other_wrap, wrap_deletion], wrap_deletion),
        "replaced": Case(old, [new], new),
        "expired": Case(short, []),
        "vanished": Case(leaving.event("left"), [], vanish),
        "of a banned key": Case(spam, [], None, ban(banned)),
        "removed by an operator": Case(taken, [], None, remove(taken["id"])),
    }


class Readers:
    """Two connections to one worker, or to any: of another key, which copies answer, and of the reader of the wraps."""

    def __init__(self, relay: RelayProcess, worker: int | None, reader: Author) -> None:
        self._opening = [client_of(relay, worker) if worker else Client(relay.ws_url) for _ in range(2)]
        self._stack = AsyncExitStack()
        self._reader = reader
        self.clients: list[Client] = []

    async def __aenter__(self) -> Self:
        self.clients = [await self._stack.enter_async_context(each) for each in self._opening]
        await self.clients[1].log_in(self._reader)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def hold(self, found: dict[str, Case]) -> None:
        """Have all events in the copies; pages that are asked for again are in the shared cache too."""
        for client, case, _ in product(self.clients, found.values(), range(3)):
            for wanted in ({"authors": [case.gone["pubkey"]]}, {"ids": [case.gone["id"]]}):
                may_read = case.gone["kind"] != 1_059 or client is self.clients[1]
                assert (case.gone["id"] in (await client.query(wanted)).ids) is may_read

    async def assert_gone(self, found: dict[str, Case]) -> None:
        """By id, by author, and by kind and author, each time twice."""
        for client, (way, case), _ in product(self.clients, found.items(), range(2)):
            left = [each for each in case.left if each["kind"] != 1_059 or client is self.clients[1]]
            served = sorted(each["id"] for each in left)
            by_author = {"authors": [each["pubkey"] for each in (case.gone, *case.left)]}
            assert sorted((await client.query(by_author)).ids) == served, way
            assert sorted((await client.query(by_author | {"kinds": [case.gone["kind"], 5]})).ids) == served, way
            assert (case.gone["id"] in (await client.query({"ids": [case.gone["id"]]})).ids) is (case.gone in left), way

    async def publish_again(self, found: dict[str, Case]) -> None:
        """What is gone is not taken again."""
        for way, case in found.items():
            answer = await self.clients[0].publish(case.gone)
            assert case.gone in case.left or not answer.accepted or answer.text.startswith("duplicate: have newer"), way


async def test_x_7_what_is_gone_is_gone_on_a_worker_that_was_paused_and_on_a_new_one(start_relay: StartRelay) -> None:
    relay = start_relay({"RELAY_WINDOW_BYTES": "0"}, workers=2)
    reader = Author()
    paused, awake = relay.workers()
    cache = Redis.from_url(relay.services()["REDIS_URL"])
    async with Readers(relay, paused, reader) as there, Readers(relay, awake, reader) as here:
        found = cases(reader)
        expires = time.time() + EXPIRES_SECONDS
        await here.clients[0].publish_all(*[case.gone for case in found.values()])
        await asyncio.gather(here.hold(found), there.hold(found))
        await asyncio.to_thread(wait_for, lambda: len(cache.keys("*results*")) > 4, "copies in the shared cache")
        before = {key: cache.dump(key) for key in cache.keys("*")}

        os.kill(paused, signal.SIGSTOP)
        try:
            for case in found.values():
                if case.ending is not None:
                    assert (await here.clients[0].publish(case.ending)).accepted
            as_operator(relay.services()["DATABASE_URL"], [case.statement for case in found.values() if case.statement])
            await asyncio.sleep(max(0.0, expires + 1 - time.time()))  # what expires is gone by the clock alone
        finally:
            os.kill(paused, signal.SIGCONT)

        for readers in (there, here):
            await readers.assert_gone(found)
        await there.publish_again(found)
        await there.assert_gone(found)

    put_back(cache, before)
    for worker in (paused, awake):
        os.kill(worker, signal.SIGKILL)
    await asyncio.to_thread(wait_for, lambda: answers(relay) and len(relay.workers()) == 2, "new workers")
    assert set(relay.workers()).isdisjoint({paused, awake})
    async with Readers(relay, None, reader) as newcomers:
        await newcomers.assert_gone(found)
        await newcomers.publish_again(found)
        await newcomers.assert_gone(found)


def put_back(cache: Redis, before: dict[Any, Any]) -> None:
    """Empty the shared cache and fill it with what was there before."""
    cache.flushall()
    for key, value in before.items():
        if value is not None:
            cache.restore(key, 60_000, value, replace=True)


def answers(relay: RelayProcess) -> bool:
    """Whether a worker takes connections."""
    with contextlib.suppress(OSError):
        return relay.get("/healthz")[0] < 500
    return False
