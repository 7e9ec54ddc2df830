"""The order of the trials, and their end: after so many rounds, after so many minutes, or on Ctrl-C and SIGTERM.

Each fault is tried once, then each a second time, so that a run that is stopped has tried all equally often.
"""

import asyncio
import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from tests.benchmarks.faults.cases import Case, Way

STOPPING = (signal.SIGINT, signal.SIGTERM)


def rounds(cases: Sequence[Case], ways: Sequence[Way], times: int | None) -> Iterator[tuple[int, Case, Way]]:
    """The number of the round from 1 on, part and fault; without end if `times` is None."""
    faults = [(case, way) for case in cases for way in ways if way in case.ways]
    for number in itertools.count(1) if faults else ():
        if times is not None and number > times:
            return
        for case, way in faults:
            yield number, case, way


class End:
    """When no further trial begins. `tell` takes a line for the terminal.

    The first Ctrl-C or SIGTERM lets the trial under way end; the second one is KeyboardInterrupt.
    """

    def __init__(self, minutes: float | None, tell: Callable[[str], None]) -> None:
        self._stopped = False
        self._ends = None if minutes is None else time.monotonic() + minutes * 60.0
        self._tell = tell

    def listen(self) -> None:
        """Take the signals, in the running loop."""
        for number in STOPPING:
            asyncio.get_running_loop().add_signal_handler(number, self.stop)

    def stop(self) -> None:
        """End after the trial under way."""
        self._stopped = True
        self._tell("This trial is the last one; once more ends it at once.")
        for number in STOPPING:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, interrupt)

    @property
    def has_come(self) -> bool:
        """Whether it is time to end."""
        return self._stopped or (self._ends is not None and time.monotonic() > self._ends)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """As a signal's handler: what Ctrl-C does."""
    raise KeyboardInterrupt


def ignore() -> None:
    """From here on signals end nothing: what was started is being stopped."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
