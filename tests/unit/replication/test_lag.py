"""For how long something has waited to be sent."""

from replication.send.lag import MOST, Lag


def test_without_anything_to_send_there_is_no_lag() -> None:
    assert Lag(0.0).seconds(10.0, 5, 5) == 0.0


def test_lag_grows_while_the_cursor_stands() -> None:
    lag = Lag(0.0)
    assert [lag.seconds(float(second), 5, 6 + second) for second in range(4)] == [0.0, 1.0, 2.0, 3.0]


def test_lag_is_the_age_of_what_is_oldest_of_what_is_left() -> None:
    lag = Lag(0.0)
    for second in range(10):
        lag.seconds(float(second), 0, 10 * (second + 1))
    assert lag.seconds(10.0, 50, 100) == 5.0
    assert lag.seconds(10.0, 100, 100) == 0.0


def test_a_sender_goes_on_from_what_the_one_before_has_noted() -> None:
    lag = Lag(100.0, behind_seconds=30.0)
    assert lag.seconds(101.0, 5, 9) == 31.0
    assert lag.seconds(102.0, 9, 9) == 0.0


def test_samples_are_bounded() -> None:
    lag = Lag(0.0)
    for second in range(3 * MOST):
        lag.seconds(float(second), 0, second + 1)
    assert lag.seconds(3.0 * MOST, 0, 3 * MOST) == 3.0 * MOST
    assert len(lag._seen) <= MOST
