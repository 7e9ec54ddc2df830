"""By which clock events are removed for good."""

import logging
import time
from typing import Any

import pytest

from relay import tasks
from relay.storage import clock, purging, retention

pytestmark = pytest.mark.django_db

YEAR = 365 * 86_400


@pytest.mark.parametrize("ahead", [YEAR, -YEAR])
def test_the_earlier_of_two_clocks_counts_and_the_difference_is_told(
    ahead: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = time.time()
    monkeypatch.setattr(time, "time", lambda: right + ahead)

    with caplog.at_level(logging.WARNING):
        found = clock.removal_time()

    assert abs(found - min(right, right + ahead)) < 60
    assert "one is wrong" in caplog.text


def test_two_clocks_that_agree_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        clock.removal_time()

    assert caplog.text == ""


def test_a_machine_whose_clock_runs_ahead_removes_nothing_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def ask(*given: Any) -> int:
        asked.append(given[-1])
        return 0

    monkeypatch.setattr(retention, "sweep_expired", ask)
    monkeypatch.setattr(purging, "put_in_force", ask)
    right = time.time()
    monkeypatch.setattr(time, "time", lambda: right + YEAR)

    tasks.sweep_expired()
    tasks.apply_retention()

    assert len(asked) == 2
    assert max(asked) < right + 60
