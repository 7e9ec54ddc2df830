"""Beat's lock, of which one machine at a time keeps the schedule."""

import contextlib
import signal
from datetime import timedelta

import psycopg
import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from analytics.schedule import install
from relayproject.celery import app
from relayproject.runtime import beat
from relayproject.runtime.beat import Clock, scheduler, wait_for_turn
from relayproject.runtime.heartbeat import ThreadHeartbeat
from relayproject.runtime.store_watch import connect

pytestmark = pytest.mark.django_db


def test_the_lock_of_a_machine_that_says_nothing_any_more_goes_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is still open at the server, as after a cut of the network."""
    monkeypatch.setattr(beat, "HELD_SECONDS", 0.2)
    monkeypatch.setattr(beat, "LOOK_SECONDS", 0.05)
    with contextlib.closing(connect()) as silent, contextlib.closing(connect()) as standby:
        wait_for_turn(silent, ThreadHeartbeat())
        wait_for_turn(standby, ThreadHeartbeat())
        with pytest.raises(psycopg.Error):
            silent.execute("SELECT 1")


class Set:
    """The system's clocks: `back` is by how much the one of the day was set back."""

    back = 0.0

    def time(self) -> float:
        return 1_000_000.0 - self.back

    def monotonic(self) -> float:
        return 500.0


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Set:
    made = Set()
    monkeypatch.setattr(beat, "time", made)
    return made


def test_a_clock_that_is_set_back_is_told_once(clocks: Set) -> None:
    clock = Clock()
    clocks.back = 3_600.0

    assert (clock.seconds_back(), clock.seconds_back()) == (3_600.0, 0.0)


@pytest.mark.django_db(transaction=True)  # the scheduler closes its connection
def test_jobs_whose_last_run_lies_in_the_future_run_after_their_interval() -> None:
    """A clock that ran a year ahead and was set right: no job would run for a year."""
    install()
    PeriodicTask.objects.update(last_run_at=timezone.now() + timedelta(days=365))

    schedule = scheduler(ThreadHeartbeat())(app=app).schedule
    due = {name: entry.is_due().next for name, entry in schedule.items()}

    assert due["roll-up"] <= 15
    assert due["prune-change-log"] <= 300


@pytest.mark.django_db(transaction=True)  # the scheduler closes its connection
def test_beat_ends_when_the_clock_is_set_back_while_it_runs(clocks: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(Exception):
        """In place of the end of the process."""

    def kill(_pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        raise Ended

    monkeypatch.setattr("os.kill", kill)
    running = scheduler(ThreadHeartbeat())(app=app)
    running._heap, running.old_schedulers = [], running.schedule  # nothing is due

    running.tick()
    clocks.back = 10.0
    with pytest.raises(Ended):
        running.tick()
