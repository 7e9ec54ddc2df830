"""When a peer that does not answer is tried again."""

from replication.send.backoff import PROBE_SECONDS, TRIES, is_down, seconds_after


def test_the_pauses_double_until_the_peer_is_down() -> None:
    longest = [seconds_after(attempt, lambda: 1.0) for attempt in range(1, TRIES + 3)]
    assert longest == [0.5, 1.0, 2.0, 4.0, PROBE_SECONDS, PROBE_SECONDS, PROBE_SECONDS]
    assert [is_down(attempt) for attempt in range(1, TRIES + 1)] == [False] * 4 + [True]


def test_senders_do_not_come_back_together() -> None:
    assert seconds_after(3, lambda: 0.0) == 1.0
    assert seconds_after(3, lambda: 1.0) == 2.0
    assert len({seconds_after(3) for _ in range(20)}) > 10
