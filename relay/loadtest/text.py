"""What a person reads in the terminal: the progress while the run lasts, the report after it.

Rule: on a terminal the progress is one line that is rewritten; elsewhere it is a plain line now and then.
"""

from time import monotonic
from typing import TextIO

from relay.loadtest import results, wording
from relay.loadtest.coordinator import Status

LINE_SECONDS = 0.25
PLAIN_SECONDS = 2.0


class Progress:
    """Shows the status on `stream`; nothing when `quiet`. Call `end()` before other output."""

    def __init__(self, stream: TextIO, duration: float, *, quiet: bool = False) -> None:
        self._stream = stream
        self._duration = duration
        self._quiet = quiet
        self._is_terminal = stream.isatty()
        self._shown = 0.0
        self._last = ""
        self._open = False

    def show(self, status: Status) -> None:
        """Show the status, unless it was shown a moment ago."""
        now = monotonic()
        line = describe(status, self._duration)
        every = LINE_SECONDS if self._is_terminal else PLAIN_SECONDS
        if self._quiet or line == self._last or now - self._shown < every:
            return
        self._shown, self._last = now, line
        if self._is_terminal:
            self._stream.write(f"\r\x1b[K{line}")
            self._open = True
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def end(self) -> None:
        """Clear the line of the progress."""
        if self._open:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._open = False


def describe(status: Status, duration: float) -> str:
    """The status in one line."""
    if not status.running:
        return f"{status.what} {status.done:,} of {status.total:,}" if status.total else status.what
    parts = [f"{min(status.second, duration):.0f} of {duration:g} s"]
    if status.sent:
        parts.append(f"{status.accepted:,} of {status.sent:,} events accepted")
    if status.answered:
        parts.append(f"{status.answered:,} queries answered")
    if status.delivered:
        parts.append(f"{status.delivered:,} deliveries")
    return ", ".join(parts)


def as_text(report: results.Report) -> str:
    """The whole report, with a line end."""
    lines = [f"{wording.title(report.run)}, {wording.number(report.run.seconds)} s", ""]
    for heading, rows in wording.sections(report):
        lines.append(heading)
        lines += [f"  {name:<30} {value}" for name, value in rows]
    rows = [wording.check_row(check) for check in report.checks if check.met is not None]
    lines += ["Thresholds"] if rows else []
    lines += [f"  {name:<30} {value}" for name, value in rows]
    lines += ["", *(f"- {wording.printable(sentence)}" for sentence in report.recommendations)]
    return "\n".join(lines) + "\n"
