"""One fetch for all who ask for the same at once, in one process."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.caching.single_flight import Abandoned, SingleFlight


class Source:
    """Gives a value, or an error, when it is let go; counts how often it was asked."""

    def __init__(self, result: str | Exception = "value") -> None:
        self.result = result
        self.asked = 0
        self.cancelled = 0
        self.let_go = asyncio.Event()

    async def fetch(self) -> str:
        self.asked += 1
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def ask(flights: SingleFlight[str, str], source: Source, count: int, key: str = "k") -> list[asyncio.Task[str]]:
    return [asyncio.create_task(flights.join(key, source.fetch)) for _ in range(count)]


async def a_turn() -> None:
    """Long enough for tasks that were just made to wait for their source."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_thousand_concurrent_calls_share_one_fetch() -> None:
    flights, source = SingleFlight[str, str](), Source()
    asking = ask(flights, source, 1_000)
    await a_turn()
    source.let_go.set()
    assert await asyncio.gather(*asking) == ["value"] * 1_000
    assert (source.asked, flights.fetched, flights.joined, len(flights)) == (1, 1, 999, 0)


async def test_other_keys_are_fetched_for_themselves() -> None:
    flights, source = SingleFlight[str, str](), Source()
    asking = ask(flights, source, 2, "a") + ask(flights, source, 2, "b")
    await a_turn()
    source.let_go.set()
    await asyncio.gather(*asking)
    assert source.asked == 2


async def test_a_cancelled_caller_does_not_cancel_the_others() -> None:
    flights, source = SingleFlight[str, str](), Source()
    first, second, third = ask(flights, source, 3)
    await a_turn()
    second.cancel()
    await a_turn()
    source.let_go.set()
    assert [await first, await third] == ["value"] * 2
    assert second.cancelled()
    assert source.asked == 1


async def test_when_the_caller_that_fetches_is_cancelled_one_of_the_others_fetches() -> None:
    flights, source = SingleFlight[str, str](), Source()
    first, *others = ask(flights, source, 100)
    await a_turn()
    first.cancel()
    await a_turn()
    source.let_go.set()
    assert await asyncio.gather(*others) == ["value"] * 99
    assert first.cancelled()
    assert (source.asked, source.cancelled, flights.fetched, flights.joined) == (2, 1, 2, 99)


async def test_a_fetch_without_callers_is_cancelled_and_not_joined() -> None:
    flights, source, other = SingleFlight[str, str](), Source("first"), Source("second")
    (first,) = ask(flights, source, 1)
    await a_turn()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    other.let_go.set()
    assert await flights.join("k", other.fetch) == "second"
    assert source.cancelled == 1


async def test_an_error_reaches_all_and_is_not_kept() -> None:
    flights, source, well = SingleFlight[str, str](), Source(OSError("gone")), Source()
    asking = ask(flights, source, 3)
    await a_turn()
    source.let_go.set()
    assert [str(error) for error in await asyncio.gather(*asking, return_exceptions=True)] == ["gone"] * 3
    well.let_go.set()
    assert await flights.join("k", well.fetch) == "value"


async def test_no_caller_waits_longer_than_its_own_limit() -> None:
    flights, source = SingleFlight[str, str](), Source()
    patient = asyncio.create_task(flights.join("k", source.fetch))
    await a_turn()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await flights.join("k", source.fetch)
    source.let_go.set()
    assert await patient == "value"


async def test_a_fetch_that_cancels_itself_raises_for_its_callers() -> None:
    async def give_up() -> str:
        raise asyncio.CancelledError

    with pytest.raises(Abandoned):
        await SingleFlight[str, str]().join("k", give_up)


async def test_a_call_after_the_end_starts_a_new_fetch() -> None:
    flights = SingleFlight[str, int]()
    fetched = Counter[str]()

    async def count() -> int:
        fetched["k"] += 1
        return fetched["k"]

    assert [await flights.join("k", count) for _ in range(3)] == [1, 2, 3]


@settings(max_examples=50)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.integers(0, 2)),
            st.tuples(st.just("cancel"), st.integers(0, 20)),
            st.tuples(st.just("land"), st.integers(0, 2)),
        ),
        max_size=40,
    )
)
def test_every_waiter_gets_the_newest_value_or_its_own_cancellation(plan: list[tuple[str, int]]) -> None:
    async def play() -> None:
        flights = SingleFlight[int, int]()
        landing = [asyncio.Event() for _ in range(3)]
        running = Counter[int]()
        asking: list[asyncio.Task[int]] = []
        cancelled: set[int] = set()

        async def fetch(key: int) -> int:
            running[key] += 1
            assert running[key] == 1, "two fetches of one key at once"
            try:
                await landing[key].wait()
                return key
            finally:
                running[key] -= 1

        keys: list[int] = []
        for step, number in plan:
            if step == "ask":
                keys.append(number)
                asking.append(asyncio.create_task(flights.join(number, lambda key=number: fetch(key))))  # type: ignore[misc]
            elif step == "cancel" and asking:
                if asking[number % len(asking)].cancel():
                    cancelled.add(number % len(asking))
            elif step == "land":
                landing[number].set()
                await a_turn()
                landing[number].clear()
            await a_turn()
        for event in landing:
            event.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        for number, answer in enumerate(answers):
            assert answer == keys[number] or (number in cancelled and isinstance(answer, asyncio.CancelledError))
        assert len(flights) == 0

    asyncio.run(play())
