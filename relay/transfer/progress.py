"""Progress of a long command on standard error: a bar on a terminal, otherwise a line every ten seconds."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_SECONDS = 10.0
BAR_SECONDS = 0.2


class Shown:
    """A context in which `update` shows how far a command is. `total` is in the unit of `done`; None if not known."""

    def __init__(self, what: str, total: int | None, *, quiet: bool = False) -> None:
        """`what`: a verb, such as `imported`."""
        self._what = what
        self._total = total
        self._quiet = quiet
        self._began = self._shown = time.monotonic()
        self._first: int | None = None
        self._bar: Progress | None = None
        if not quiet and sys.stderr.isatty():
            columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")]
            times = [TimeElapsedColumn(), TimeRemainingColumn(compact=True)]
            self._bar = Progress(*columns, *times, console=Console(stderr=True), transient=True, refresh_per_second=5)
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, events: int, done: int) -> None:
        """Show that `events` are through, and `done` of `total`."""
        now = time.monotonic()
        if self._first is None:
            self._first = events
        if self._quiet or now - self._shown < (LINE_SECONDS if self._bar is None else BAR_SECONDS):
            return
        self._shown = now
        rate = (events - self._first) / (now - self._began)
        text = f"{events:,} lines {self._what}, {rate:,.0f} a second"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=text)
            return
        if self._total and done:
            left = (now - self._began) * (self._total - done) / done
            text += f", {100 * done // self._total} %, about {left:,.0f} s left"
        print(text, file=sys.stderr, flush=True)
