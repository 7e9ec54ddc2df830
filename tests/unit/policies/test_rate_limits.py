"""Token buckets: what all workers let through together, whatever happens to them and to the cache."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.caching.shared import Shared
from relay.caching.shared_buckets import SharedBuckets
from relay.policies.rate_limits import FAR_ABOVE, FAR_ABOVE_SECONDS, Bucket, Excess
from relay.protocol.rates import OFF, Rate, parse_rate, parse_rates_of_kinds
from tests.unit.policies.levels import Levels, SlowCache

WORKERS = 3


class Worker:
    """One worker with one bucket and a clock of its own."""

    def __init__(self, rate: Rate, levels: Levels, clock: float) -> None:
        self.clock = clock
        self.rate = rate
        self.cache = SlowCache(levels)
        self.restart()

    def restart(self) -> None:
        self.cache.waiting.clear()
        self.shared = SharedBuckets(cast(Shared, self.cache), lambda: "", lambda: self.clock)
        self.shared.share = 1 / WORKERS
        self.begin()

    def begin(self) -> None:
        self.bucket = Bucket("events", "one", self.rate, self.shared.more)

    def take(self, number: int) -> int:
        return sum(self.bucket.take() for _ in range(number))

    def sweep(self) -> None:
        """As relay.services.rates does it."""
        if self.bucket.is_idle():
            self.shared.settle(self.bucket)


class Relay:
    """Workers that share one cache, and what they let through."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.levels = Levels()
        self.workers = [Worker(rate, self.levels, 1e6 * number) for number in range(WORKERS)]
        self.now = 0.0
        self.allowed: list[tuple[float, int]] = []
        self.restarts = self.losses = 0

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.levels.now += seconds
        for worker in self.workers:
            worker.clock += seconds

    def do(self, action: str, worker: Worker, number: int) -> None:
        match action:
            case "take":
                self.allowed.append((self.now, worker.take(number)))
            case "answer":
                worker.cache.answer()
            case "answer all":
                worker.cache.answer_all()
            case "lose answer":
                self.losses += bool(worker.cache.waiting)
                worker.cache.answer(is_lost=True)
            case "pass time":
                self.pass_time(number / 10)
            case "pass minutes":
                self.pass_time(number * 10)
            case "sweep":
                worker.sweep()
            case "restart":
                self.restarts += 1
                worker.restart()
            case "cache away":
                self.losses += worker.cache.up
                for each in self.workers:
                    each.cache.up = False
            case "cache back":
                for each in self.workers:
                    each.cache.up = True
            case "cache empty":
                self.losses += 1
                self.levels.levels.clear()
            case "clock of the cache back":
                self.levels.now -= number

    def bound(self, seconds: float) -> float:
        grants = 2 * WORKERS + self.restarts
        return self.rate.burst * (1 + self.losses) + self.rate.per_second * seconds + grants * self.rate.grant


ACTIONS = (
    *("take",) * 6,
    *("answer", "answer all", "answer all", "lose answer", "pass time", "pass time", "pass minutes"),
    *("sweep", "sweep", "sweep", "restart", "cache away", "cache back", "cache empty", "clock of the cache back"),
)
rates = st.builds(Rate, st.sampled_from([0.5, 3.0, 40.0, 1000.0]), st.integers(1, 200))
steps = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, WORKERS - 1), st.integers(1, 120)), min_size=20, max_size=150
)


@given(rates, steps)
def test_all_workers_together_never_exceed_the_bound_in_any_time(rate: Rate, done: list[tuple[str, int, int]]) -> None:
    relay = Relay(rate)

    for action, number, amount in done:
        relay.do(action, relay.workers[number], amount)

    allowed = relay.allowed
    for first, (begin, _) in enumerate(allowed):
        total = 0
        for end, number in allowed[first:]:
            total += number
            assert total <= relay.bound(end - begin) + 1e-6


CALM = ("take", "pass time", "sweep")
calm = st.lists(st.tuples(st.sampled_from(CALM), st.integers(0, WORKERS - 1), st.integers(1, 60)), max_size=100)


@given(st.builds(Rate, st.sampled_from([0.5, 3.0, 40.0]), st.integers(40, 4_000)), calm)
def test_a_client_within_its_burst_is_never_refused(rate: Rate, done: list[tuple[str, int, int]]) -> None:
    relay = Relay(rate)
    left = rate.burst - WORKERS * rate.grant

    for action, number, amount in done:
        worker = relay.workers[number]
        if action == "take":
            taken = min(amount, rate.grant // 2)
            if taken > left:
                return
            left -= taken
            assert worker.take(taken) == taken
            worker.cache.answer_all()
        else:
            relay.do(action, worker, amount)
            worker.cache.answer_all()


def test_a_client_above_its_rate_gets_exactly_its_rate() -> None:
    relay = Relay(Rate(100.0, 400))
    worker = relay.workers[0]
    taken = 0

    for _ in range(1_000):  # 100 s, ten times the rate
        relay.pass_time(0.1)
        worker.shared.more(worker.bucket)
        worker.cache.answer_all()
        taken += worker.take(100)

    assert 100 * 99 <= taken <= 400 + 100 * 100 + worker.rate.grant


def test_a_client_that_goes_from_worker_to_worker_gets_no_more_than_its_rate() -> None:
    relay = Relay(Rate(10.0, 100))
    taken = 0

    for turn in range(3_000):  # 3,000 s
        relay.pass_time(1.0)
        worker = relay.workers[turn // 40 % WORKERS]  # 40 s each, and long enough away to be idle
        taken += worker.take(20)
        for each in relay.workers:
            if turn % 15 == 0:
                each.sweep()
            each.cache.answer_all()

    assert taken <= 10 * 3_000 + 100 + 2 * WORKERS * 25


def test_a_bucket_that_was_used_once_is_fresh_after_two_sweeps_and_leaves_nothing_in_the_cache() -> None:
    relay = Relay(Rate(10.0, 100))
    worker = relay.workers[0]
    worker.take(3)

    for _ in range(3):
        worker.sweep()
        worker.cache.answer_all()
        relay.pass_time(15.0)

    assert worker.bucket.is_fresh
    assert relay.levels.run(b"events:one", 10.0, 100, 0, 0) == [0, 1]


def test_without_the_cache_a_worker_goes_on_with_its_share() -> None:
    relay = Relay(Rate(30.0, 120))
    worker = relay.workers[0]
    worker.cache.up = False
    taken = 0

    for _ in range(600):  # 60 s
        relay.pass_time(0.1)
        taken += worker.take(100)
        worker.cache.answer_all()

    assert 10 * 58 <= taken <= 10 * 60 + worker.rate.grant


def test_bytes_that_have_come_are_charged_and_stop_reading_only_when_nothing_is_left() -> None:
    worker = Worker(Rate(1_000.0, 8_000), Levels(), 0.0)

    assert worker.bucket.charge(2_000)
    assert not worker.bucket.charge(5_000)
    worker.cache.answer_all()
    assert not worker.bucket.charge(0)  # asks again for what is still missing
    worker.cache.answer_all()
    assert worker.bucket.charge(0)


def test_refusals_of_ten_times_a_limit_for_a_minute_are_far_above_it() -> None:
    excess, rate = Excess(), Rate(100.0, 5_000)
    refusals = int(FAR_ABOVE * FAR_ABOVE_SECONDS * rate.per_second)

    found = [excess.refused(rate, number * FAR_ABOVE_SECONDS / refusals) for number in range(refusals + 10)]

    assert not any(found[: refusals - 10])
    assert any(found)


def test_refusals_of_twice_a_limit_are_never_far_above_it() -> None:
    excess, rate = Excess(), Rate(10.0, 50)

    assert not any(excess.refused(rate, number / 10) for number in range(20_000))


def test_a_rate_is_tokens_a_second_and_at_once() -> None:
    assert parse_rate("100:5000") == Rate(100.0, 5_000)
    assert parse_rate(" 0.5:20 ") == Rate(0.5, 20)
    assert parse_rate("0") == OFF
    assert not OFF
    assert [str(rate) for rate in (Rate(100.0, 5_000), Rate(0.5, 20), Rate(1048576.0, 1), OFF)] == [
        *("100:5000", "0.5:20", "1048576:1", "0"),
    ]
    assert parse_rates_of_kinds(("7=20:400", "1984=1:60")) == {7: Rate(20.0, 400), 1984: Rate(1.0, 60)}


@pytest.mark.parametrize(
    "text", ["x", "100", "100:", ":5", "0:5", "-1:5", "1:0", "1:1.5", "inf:5", "nan:5", "0.001:9999", "a:b"]
)
def test_other_texts_are_no_rates(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rate(text)
