"""The lag in seconds, from samples with times of their own."""

from relay.changes.lag import MOST_SAMPLES, Lag


def test_a_worker_that_is_up_to_date_has_no_lag() -> None:
    assert Lag().add(10.0, newest=5, position=5) == 0.0


def test_the_lag_is_as_old_as_the_oldest_change_that_is_missing() -> None:
    lag = Lag()
    lag.add(10.0, newest=5, position=4)
    lag.add(11.0, newest=6, position=4)

    assert lag.add(13.0, newest=7, position=4) == 3.0


def test_the_lag_falls_when_changes_are_applied() -> None:
    lag = Lag()
    for second in range(100):
        lag.add(float(second), newest=10 * second + 10, position=10 * second)

    assert lag.add(100.0, newest=1_010, position=1_000) == 0.0


def test_a_lag_of_days_is_kept_in_few_samples() -> None:
    lag = Lag()
    for second in range(20 * MOST_SAMPLES):
        found = lag.add(float(second), newest=second + 1, position=0)

    assert found == 20 * MOST_SAMPLES - 1
    assert len(lag._known) <= MOST_SAMPLES
