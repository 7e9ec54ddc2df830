"""A process of the job queue beats as long as its main loop turns, and again when it goes on."""

import os
import select
from collections.abc import Iterator

import pytest

from relayproject.runtime import heartbeat
from relayproject.runtime.heartbeat import BEAT, VARIABLE, ThreadHeartbeat

INTERVAL_SECONDS = 0.01
STALL_SECONDS = 0.2


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The supervisor's end of the pipe."""
    ours, theirs = os.pipe()
    monkeypatch.setenv(VARIABLE, str(theirs))
    monkeypatch.setattr(heartbeat, "INTERVAL_SECONDS", INTERVAL_SECONDS)
    yield ours
    os.close(ours)  # their end stays with the thread, which ends with the process


def beats_within(reader: int, seconds: float) -> bool:
    return bool(select.select([reader], [], [], seconds)[0]) and os.read(reader, 4096).startswith(BEAT)


def test_beats_stop_when_the_main_loop_stands_still_and_come_back_with_it(reader: int) -> None:
    beating = ThreadHeartbeat(STALL_SECONDS)
    assert beats_within(reader, 5.0)

    while beats_within(reader, STALL_SECONDS):  # ends when it is silent for so long
        pass
    beating.turn()

    assert beats_within(reader, 5.0)
