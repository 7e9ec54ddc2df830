"""An operator's function: its answers, its faults and its time limit."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from relay.background import BackgroundTasks
from relay.ingest.judgements import UNAVAILABLE, Judgements
from relay.ingest.python_policy import AT_ONCE, NAME, PythonPolicy, function_named
from relay.policies.source import Source, SourceKind
from relay.policies.verdict import ACCEPT, NO_REASON, SHADOW, EventView, Verdict
from relay.protocol.event import Event, StoredEvent
from tests.events import unsigned_event

MODULE = "tests.integration.policies.own_policy"
BOTH = pytest.mark.parametrize("name", ["check", "check_async"])


async def verdicts(name: str, *contents: str, seconds: float = 5.0) -> list[Verdict]:
    """The verdicts in the order in which they took effect."""
    tasks = BackgroundTasks()
    policy = PythonPolicy(function_named(f"{MODULE}.{name}"))
    queue = Judgements([(NAME, policy)], tasks, seconds=seconds, events=100, accepts=False)
    found: list[Verdict] = []
    done = asyncio.Event()

    def take(verdict: Verdict) -> None:
        found.append(verdict)
        if len(found) == len(contents):
            done.set()

    for content in contents:
        event = msgspec.convert(unsigned_event(content=content), Event)
        queue.submit(event, StoredEvent.of(event), Source(SourceKind.CLIENT, "192.0.2.7"), take)
    await asyncio.wait_for(done.wait(), 10)
    policy.stop()
    await tasks.stop()
    return found


@BOTH
async def test_every_answer_is_understood_in_the_order_of_the_events(name: str) -> None:
    assert await verdicts(name, "anything", "no", "why", "shadow", "where") == [
        ACCEPT,
        Verdict(False, f"blocked: {NO_REASON}"),
        Verdict(False, "rate-limited: slowly"),
        SHADOW,
        Verdict(False, "blocked: 192.0.2.7"),
    ]


@BOTH
async def test_a_fault_of_the_function_refuses_one_event(name: str) -> None:
    assert await verdicts(name, "change", "odd", "fine") == [Verdict(False, UNAVAILABLE)] * 2 + [ACCEPT]


@BOTH
async def test_a_function_that_exits_ends_no_worker(name: str) -> None:
    assert await verdicts(name, "exit", "fine") == [Verdict(False, UNAVAILABLE), ACCEPT]


@BOTH
async def test_any_text_can_be_sent_as_the_reason(name: str) -> None:
    assert await verdicts(name, "surrogate") == [Verdict(False, "blocked: half ?")]


async def test_a_plain_function_that_blocks_does_not_block_the_loop() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    counting = asyncio.get_running_loop().create_task(count())
    await verdicts("check", "block")
    counting.cancel()
    assert turns > 3


async def test_a_coroutine_that_waits_for_ever_ends_at_the_time_limit() -> None:
    assert await verdicts("check_async", "wait", "fine", seconds=0.2) == [Verdict(False, UNAVAILABLE), ACCEPT]


async def test_calls_that_hang_keep_their_threads_and_nothing_gathers_behind_them() -> None:
    going_on = threading.Event()

    def hang(event: EventView, _source: Source) -> bool:
        if event.content == "hang":
            going_on.wait(60)
        return True

    policy = PythonPolicy(hang)

    async def ask(content: str, seconds: float) -> Verdict:
        event = msgspec.convert(unsigned_event(content=content), Event)
        async with asyncio.timeout(seconds):
            return await policy(event, StoredEvent.of(event), Source(SourceKind.CLIENT, "192.0.2.7"))

    hung = [ask("hang", 0.1) for _ in range(3 * AT_ONCE)]
    assert {type(end) for end in await asyncio.gather(*hung, return_exceptions=True)} == {TimeoutError}
    assert policy._threads is not None
    assert policy._threads._work_queue.qsize() == 0
    going_on.set()
    assert await ask("fine", 10) == ACCEPT
    policy.stop()


@pytest.mark.parametrize(
    "path, error",
    [("nothing", ImportError), ("no.such.module", ImportError), (f"{MODULE}.nothing", TypeError)],
)
def test_a_path_of_no_function_is_refused_at_the_start(path: str, error: type[Exception]) -> None:
    found: Callable[..., Any] | None = None
    with pytest.raises(error):
        found = function_named(path)
    assert found is None
