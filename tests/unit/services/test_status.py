"""Figures of several workers, and how fast a total grows."""

from relay.services.status import Rate, WorkerFigures, summed


def worker(**changed: float) -> WorkerFigures:
    figures = {
        "connections": 1,
        "subscriptions": 2,
        "events_stored": 3,
        "events_per_second": 0.5,
        "position": 10,
        "started_at": 100.0,
    }
    return WorkerFigures(**(figures | changed))  # type: ignore[arg-type]


def test_counts_and_rates_of_workers_add_up() -> None:
    figures = summed([worker(connections=3, events_per_second=1.25), worker(connections=4)], 200.0, None)

    assert (figures.connections, figures.subscriptions, figures.workers) == (7, 4, 2)
    assert figures.events_per_second == 1.8


def test_the_position_is_that_of_the_foremost_worker_and_the_uptime_that_of_the_oldest() -> None:
    figures = summed([worker(position=8, started_at=150.0), worker(position=12, started_at=90.4)], 200.0, 5)

    assert (figures.position, figures.uptime_seconds, figures.events) == (12, 110, 5)


def test_a_clock_that_went_back_gives_no_negative_uptime() -> None:
    assert summed([worker(started_at=300.0)], 200.0, None).uptime_seconds == 0


def test_a_rate_is_zero_before_there_are_two_samples() -> None:
    assert Rate().add(10.0, 500) == 0.0


def test_a_rate_covers_only_its_window() -> None:
    rate = Rate(window_seconds=5.0)
    for second in range(10):
        rate.add(float(second), 1_000 * min(second, 4))

    assert rate.add(10.0, 4_000) == 0.0


def test_a_steady_growth_is_its_rate() -> None:
    rate = Rate()
    seen = [rate.add(float(second), 20 * second) for second in range(20)]

    assert set(seen[1:]) == {20.0}
