"""Beat's lock, of which one machine at a time keeps the schedule."""

import contextlib

import psycopg
import pytest

from relayproject.runtime import beat
from relayproject.runtime.beat import wait_for_turn
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
