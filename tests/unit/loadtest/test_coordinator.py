"""How long the coordinator waits for its workers, on a clock of its own."""

from collections.abc import Sequence

import pytest

from relay.loadtest import coordinator
from relay.loadtest.coordinator import PREPARE_SECONDS, STOP_SECONDS
from relay.loadtest.plan import GRACE_SECONDS, Scenario
from tests.unit.loadtest.plans import plan

STEP_SECONDS = 10.0


class Worker:
    """A worker that is ready and reports at set times."""

    def __init__(self, clock: "Clock", ready_at: float, reports_at: float) -> None:
        self.pipe, self.gone, self.phase, self.counts = object(), False, ("signing", 0, 0), (0, 0, 0, 0)
        self.told: list[str] = []
        self._clock, self._ready_at, self._reports_at = clock, ready_at, reports_at

    @property
    def ready(self) -> bool:
        return self._clock.now >= self._ready_at

    @property
    def settled(self) -> bool:
        return self._clock.now >= self._reports_at

    def tell(self, order: str) -> None:
        self.told.append(order)


class Clock:
    """Time that goes on by a step at each wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(coordinator, "monotonic", lambda: self.now)
        monkeypatch.setattr(coordinator, "wait", self._wait)

    def _wait(self, _pipes: Sequence[object], _seconds: float) -> list[object]:
        self.now += STEP_SECONDS
        return []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def watched(clock: Clock, *workers: Worker, duration: float, signals: Sequence[int] = ()) -> float:
    """After how many seconds the coordinator no longer waits."""
    began = clock.now
    whole, members = plan(Scenario.IDLE, duration=duration), list(workers)
    coordinator._watch(whole, members, list(signals), lambda _: None, lambda _: None)  # type: ignore[arg-type]
    return clock.now - began


@pytest.mark.parametrize("duration", [60.0, 900.0, 3_600.0])
def test_a_run_of_any_duration_is_waited_for(clock: Clock, duration: float) -> None:
    end = clock.now + 800 + duration
    workers = [Worker(clock, clock.now + 800, end), Worker(clock, clock.now + 20, end)]
    watched(clock, *workers, duration=duration)

    assert [worker.settled for worker in workers] == [True, True]
    assert workers[0].told == ["go"]


def test_a_worker_that_is_never_ready_is_waited_for_as_long_as_preparing_may_take(clock: Clock) -> None:
    worker = Worker(clock, float("inf"), float("inf"))

    assert watched(clock, worker, duration=30) == pytest.approx(PREPARE_SECONDS, abs=STEP_SECONDS)


def test_a_worker_that_never_reports_is_waited_for_until_the_grace_is_over(clock: Clock) -> None:
    worker = Worker(clock, clock.now, float("inf"))
    most = 2 * 30 + 6 * GRACE_SECONDS

    assert watched(clock, worker, duration=30) == pytest.approx(most, abs=2 * STEP_SECONDS)


def test_after_a_stop_no_process_is_waited_for_long(clock: Clock) -> None:
    worker = Worker(clock, clock.now, float("inf"))

    assert watched(clock, worker, duration=3_600, signals=[2]) <= STOP_SECONDS + 2 * STEP_SECONDS
    assert worker.told[0] == "stop"
