"""What is done when a replica does not answer: the time left for the primary, and the reason that is counted."""

import asyncio

import psycopg
import pytest

from relay.protocol.audience import ANONYMOUS
from relay.protocol.errors import Failed
from relay.storage.question import Question
from relay.storage.replica import Foreign
from relay.storage.replicas import FALLBACKS, GONE_SECONDS, reason_of, with_time_left


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
