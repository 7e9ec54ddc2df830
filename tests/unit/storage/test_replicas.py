"""What is done when a replica does not answer: the time left for the primary, and the reason that is counted."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import NoReturn, cast

import psycopg
import pytest

from relay.background import BackgroundTasks
from relay.changes.ring import Ring
from relay.protocol.audience import ANONYMOUS
from relay.protocol.errors import Failed
from relay.storage.lanes import Lanes
from relay.storage.question import Question
from relay.storage.reads import Reads
from relay.storage.replica import Foreign, Present, Replica
from relay.storage.replicas import FALLBACKS, GONE_SECONDS, Replicas, reason_of, with_time_left
from relay.storage.store import Store


def question(seconds: float) -> Question:
    return Question([], ANONYMOUS, "", 0, asyncio.get_running_loop().time() + seconds)


async def test_a_replica_that_hangs_is_out_before_a_query_has_used_its_time() -> None:
    asked = question(2.5 * GONE_SECONDS)
    assert with_time_left(asked) is asked


async def test_a_short_query_keeps_half_of_its_time_for_the_primary() -> None:
    asked = question(1.0)
    assert asked.ends - with_time_left(asked).ends == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "cause, reason",
    [
        (psycopg.errors.SerializationFailure(), "conflict"),
        (psycopg.errors.DeadlockDetected(), "conflict"),
        (psycopg.errors.QueryCanceled(), "timeout"),
        (TimeoutError(), "timeout"),
        (psycopg.OperationalError(), "error"),
        (None, "error"),
    ],
)
def test_a_failure_is_counted_by_its_cause(cause: Exception | None, reason: str) -> None:
    error = Failed("away")
    error.__cause__ = cause
    assert reason_of(error) == reason
    assert reason in FALLBACKS


def test_an_answer_of_another_store_is_counted_as_such() -> None:
    assert reason_of(Foreign()) == "foreign"


async def test_the_answer_of_a_replica_waits_for_the_barrier_no_longer_than_its_query() -> None:
    allowed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def reached(_position: int) -> bool:
        return True

    present = Present(lambda: Ring(0, 1), lambda: Store("", "", 0), lambda: 0, lambda: allowed, reached)
    replicas = Replicas([], present, BackgroundTasks())
    async with asyncio.timeout(5):
        assert await replicas.as_of_now(question(0.01), 7, [], allowed) is None
    assert replicas.fallbacks["late"] == 1
    assert not allowed.done(), "others wait for it too"


async def test_a_query_that_ends_before_a_replica_answers_does_not_wait_for_the_barrier_any_more() -> None:
    allowed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def reached(_position: int) -> bool:
        return True

    async def hang(*_: object) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    class Hanging(Replicas):
        def in_turn(self) -> Sequence[Replica]:
            return [cast(Replica, SimpleNamespace(fetch=None))]

    present = Present(lambda: Ring(0, 1), lambda: Store("", "", 0), lambda: 0, lambda: allowed, reached)
    reads = Reads(cast(Lanes, None), Hanging([], present, BackgroundTasks()))
    reads.attempts.ask = hang  # type: ignore[method-assign, assignment]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await reads.parts([], seconds=5.0)
    assert allowed.cancelled()
