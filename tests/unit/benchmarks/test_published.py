"""Figures are read when each worker has counted anew, not after a fixed time."""

import time
from collections.abc import Iterator

import pytest

from relay.caching.registry import CacheFigures
from relay.services import figures as service
from relay.services.figures import snapshot
from relay.services.worker_figures import WorkerFigures
from tests.benchmarks import published

ONE, TWO = 101, 102


def worker(pid: int, at: float, window: int = 0) -> WorkerFigures:
    cache = CacheFigures("window", "L1", size=window, bytes=0, hits=0, misses=0, errors=0, evictions={})
    return WorkerFigures(1, 1, 1, 0.0, 1, 0.0, pid=pid, at=at, caches=[cache])


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[list[WorkerFigures]]:
    """What the cache holds at each look, the last one for ever."""
    found: list[list[WorkerFigures]] = []

    def read(cache_url: str, store: str) -> service.ClusterSnapshot:
        return snapshot(found.pop(0) if len(found) > 1 else found[0])

    monkeypatch.setattr(service, "read_figures_now", read)
    return found


def test_figures_of_before_the_call_are_not_returned(answers: list[list[WorkerFigures]]) -> None:
    now = time.time()
    later = now + 60
    answers += [
        [worker(ONE, now - 1), worker(TWO, now - 1)],
        [worker(ONE, later), worker(TWO, now - 1)],
        [worker(ONE, later), worker(TWO, later)],
    ]
    assert [each.at for each in published.figures("", [ONE, TWO]).workers] == [later, later]


def test_a_worker_that_publishes_nothing_is_waited_for(answers: list[list[WorkerFigures]]) -> None:
    later = time.time() + 60
    answers += [[worker(ONE, later)], [worker(ONE, later), worker(TWO, later)]]
    assert [each.pid for each in published.figures("", [ONE, TWO]).workers] == [ONE, TWO]


def test_a_worker_that_never_publishes_is_an_error(
    answers: list[list[WorkerFigures]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "PUBLISHED_SECONDS", 0.1)
    answers.append([worker(ONE, time.time() + 60)])
    with pytest.raises(AssertionError, match="new figures of each worker"):
        published.figures("", [ONE, TWO])


def test_windows_are_filled_when_none_of_them_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [(0, 0), (10, 0), (10, 5), (10, 5), (99, 99)]
    looks: Iterator[tuple[int, int]] = iter(sizes)

    def figures_of(_: object) -> service.ClusterSnapshot:
        return snapshot(worker(pid, 0.0, size) for pid, size in zip((ONE, TWO), next(looks), strict=True))

    monkeypatch.setattr(published, "figures_of", figures_of)
    published.until_filled(None)  # type: ignore[arg-type]
    assert next(looks) == (99, 99)
