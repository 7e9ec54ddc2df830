"""The load test's connection as a client: what is awaited comes, and a connection that ends answers nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from relay.loadtest.link import Link, open_link
from relay.loadtest.tally import Tally
from tests.benchmarks.asker import ask, publish
from tests.events import secret, sign_event
from tests.integration.loadtest import bad_relay

LIMIT_SECONDS = 10.0


def frame(number: int = 1) -> bytes:
    return orjson.dumps(["EVENT", sign_event(secret(7), content=f"note {number}")])


@asynccontextmanager
async def linked(answer: bad_relay.Answer) -> AsyncIterator[Link]:
    """A connection to a relay that answers so."""
    async with asyncio.timeout(LIMIT_SECONDS), bad_relay.bad_relay(answer) as url:
        link = await open_link(url, Tally())
        assert link is not None
        yield link
        link.close()


@pytest.mark.parametrize("answer, is_good", [(bad_relay.good, True), (bad_relay.refusing, False)])
async def test_events_and_queries_are_awaited(answer: bad_relay.Answer, is_good: bool) -> None:
    event = orjson.loads(frame())[1]
    async with linked(answer) as link:
        assert await link.accepted(event["id"], frame()) is is_good
        assert await link.answered("q", {"kinds": [1]}, {"kinds": [7]}) is is_good
        assert (link.waiting, link.queries) == ({}, {})


@pytest.mark.parametrize("answer", [bad_relay.closing, bad_relay.dropping])
async def test_a_query_ends_with_its_connection(answer: bad_relay.Answer) -> None:
    async with linked(answer) as link:
        assert await link.answered("q", {}) is False
        assert not link.open


async def test_a_late_answer_breaks_nothing() -> None:
    async with linked(bad_relay.good) as link:
        given_up = asyncio.ensure_future(link.answered("first", {}))
        await asyncio.sleep(0)
        given_up.cancel()

        assert await link.answered("second", {}) is True


async def test_the_benchmarks_client_counts_what_was_answered() -> None:
    async with asyncio.timeout(LIMIT_SECONDS), bad_relay.bad_relay(bad_relay.good) as url:
        frames = [frame(number) for number in range(20)]
        assert await publish(url, frames, connections=2, window=3) > 0

        asked = await ask(url, lambda: ("any", [{}]), connections=2, queries=30, writes=frames, write_share=0.3)
        assert asked.queries + asked.published == 30
        assert asked.published > 0


async def test_the_benchmarks_client_does_not_count_what_was_refused() -> None:
    async with asyncio.timeout(LIMIT_SECONDS), bad_relay.bad_relay(bad_relay.refusing) as url:
        with pytest.raises(RuntimeError):
            await publish(url, [frame()], connections=1, window=1)
        with pytest.raises(RuntimeError):
            await ask(url, lambda: ("any", [{}]), connections=1, queries=1)
