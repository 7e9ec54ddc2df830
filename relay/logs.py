"""Log lines of a process: bounded, safe to read, and written without ever holding up the event loop.

`Handler` formats a line where it is logged and hands it to a thread of its own, which writes to standard error. Rules:

- A statement that logs again and again writes one line a second, with the count of those left out.
- Text that a client has sent is cut, and its control characters are escaped.
- The queue is bounded; what does not fit is dropped, counted and reported.
"""

import contextlib
import json
import logging
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MESSAGE_CHARACTERS = 1_000
TRACEBACK_CHARACTERS = 8_000
QUEUE_CHARACTERS = 2**20
REPEAT_SECONDS = 1.0
MOST_KINDS = 1_000
CLOSE_SECONDS = 2.0
"""How long the end of a process waits for an unread standard error."""

# C0, C1, marks that change the direction of writing, separators of lines, lone surrogates.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

Kind = tuple[object, ...]


def safe(text: str, longest: int = MESSAGE_CHARACTERS) -> str:
    """`text` on one line: cut after `longest` characters, control characters as `\\xNN` or `\\uNNNN`."""
    rest = len(text) - longest
    escaped = UNSAFE.sub(_escaped, text[:longest])
    return f"{escaped}... ({rest:,} more characters)" if rest > 0 else escaped


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def kind_of(record: logging.LogRecord) -> Kind:
    """What records of one kind have in common: the statement, its template and the type of the exception."""
    template = record.msg if record.args else ""  # without arguments the values may be in the message
    fault = record.exc_info[0] if record.exc_info else None
    return record.name, record.levelno, record.pathname, record.lineno, template, fault


@dataclass(slots=True)
class Window:
    """The second after a line: when it ends, and what came of that kind meanwhile."""

    end: float
    record: logging.LogRecord
    more: int = 0


@dataclass(slots=True)
class Repeats:
    """Lets one record of a kind pass in `seconds`. `now` is a monotonic clock."""

    seconds: float = REPEAT_SECONDS
    left_out: int = 0
    _windows: dict[Kind, Window] = field(default_factory=dict)

    def passes(self, record: logging.LogRecord, now: float) -> bool:
        """Whether this record is to be written now; else it is counted and `due` reports it."""
        kind = kind_of(record)
        if len(self._windows) >= MOST_KINDS and kind not in self._windows:
            kind = ("others",)
        window = self._windows.get(kind)
        if window is None or (window.end <= now and not window.more):
            self._windows[kind] = Window(now + self.seconds, record)
            return True
        window.record = record
        window.more += 1
        self.left_out += 1
        return False

    def due(self, now: float) -> Iterator[tuple[logging.LogRecord, int]]:
        """The last record of each kind whose second is over, with the number of those that were left out."""
        for kind, window in list(self._windows.items()):
            if window.end > now:
                continue
            if not window.more:
                del self._windows[kind]
                continue
            yield window.record, window.more
            self._windows[kind] = Window(now + self.seconds, window.record)


REFUSALS = "django.security"
"""Loggers of requests that Django refuses, such as one with an invalid Host: the message says all, and any client
could have 30 lines of a traceback written each second."""


class Formatter(logging.Formatter):
    """Lines of text or of JSON. `process`: the name of this process in its instance, such as `worker-1`, or ""."""

    def __init__(self, style: str = "text", process: str = "", instance: str = "") -> None:
        super().__init__()
        self._as_json = style == "json"
        self._process = process
        self._instance = instance

    def format(self, record: logging.LogRecord) -> str:
        """The line, and in text those of the traceback."""
        return self.line(record.created, record.levelname, record.name, record.getMessage(), self._traceback(record))

    def line(self, created: float, level: str, logger: str, message: str, traceback: str = "") -> str:
        """`created`: Unix seconds."""
        moment = time.gmtime(created)
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(created % 1 * 1000):03}Z"
        if self._as_json:
            fields: dict[str, Any] = {
                "time": stamp,
                "level": level,
                "logger": logger,
                "message": safe(message),
                "pid": os.getpid(),
                "process": self._process,
                "instance": self._instance,
            }
            if traceback:
                fields["traceback"] = traceback
            return json.dumps(fields, ensure_ascii=False)
        place = f" [{self._process}]" if self._process else ""
        head = f"{stamp} {level}{place} {logger}: {safe(message)}"
        return f"{head}\n{traceback}" if traceback else head

    def _traceback(self, record: logging.LogRecord) -> str:
        if not record.exc_info or record.name.startswith(REFUSALS):
            return ""
        lines = [safe(line) for line in self.formatException(record.exc_info).splitlines()]
        return "\n".join(lines)[-TRACEBACK_CHARACTERS:]


class Handler(logging.Handler):
    """Writes to standard error from a thread, which starts with the first line."""

    def __init__(self) -> None:
        super().__init__()
        self.repeats = Repeats()
        self.dropped = 0
        self._unreported = 0
        self._lines: deque[str] = deque()
        self._characters = 0
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._queue_lock = threading.RLock()
        """Not the handler's own lock: logging.shutdown holds that one while it waits for the thread."""
        os.register_at_fork(after_in_child=self._after_fork)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line unless one of its kind was written within a second. DEBUG is never left out."""
        try:
            with self._queue_lock:
                if record.levelno <= logging.DEBUG or self.repeats.passes(record, time.monotonic()):
                    self._put(self.format(record))
                self._ensure_thread()
        except Exception:  # as logging's own handlers: a line that cannot be made must not stop what logs it
            self.handleError(record)

    def flush(self) -> None:
        """Wait until everything queued is written, two seconds at most."""
        if self._thread is not None and self._thread.is_alive():
            self._wake.set()
            self._idle.wait(CLOSE_SECONDS)

    def close(self) -> None:
        """Write what is queued and end the thread, within two seconds."""
        self._closing = True
        self._wake.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
        super().close()

    def _put(self, line: str) -> None:
        """With the lock of the queue."""
        if self._characters + len(line) > QUEUE_CHARACTERS:
            self.dropped += 1
            self._unreported += 1
            return
        self._lines.append(line)
        self._characters += len(line)
        self._idle.clear()
        self._wake.set()

    def _after_fork(self) -> None:
        """In the child: the thread that may have held the lock is not there."""
        self._queue_lock = threading.RLock()

    def _ensure_thread(self) -> None:
        if self._closing or sys.is_finalizing():  # a thread that starts now ends before it says that it has started
            return
        if self._thread is None or not self._thread.is_alive():  # a fork has no threads
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait(REPEAT_SECONDS)
            lines = self._take()
            with contextlib.suppress(OSError, ValueError):  # its reader has gone, or it is closed
                for line in lines:  # one by one: a pipe keeps up to 4 KiB of several processes apart
                    sys.stderr.write(line)
                    sys.stderr.flush()
            with self._queue_lock:
                if not self._lines:
                    self._idle.set()
                    if self._closing:
                        return

    def _take(self) -> list[str]:
        """Everything to write now."""
        with self._queue_lock:
            self._wake.clear()
            now = float("inf") if self._closing else time.monotonic()
            for record, more in self.repeats.due(now):
                self._put(self.format(_with_count(record, more)))
            if self._unreported:
                dropped, self._unreported = self._unreported, 0
                self._lines.append(self.format(_record(f"{dropped} log lines were dropped: standard error is slow")))
            lines, self._lines, self._characters = self._lines, deque(), 0
        return [f"{line}\n" for line in lines]


def _record(message: str) -> logging.LogRecord:
    return logging.LogRecord("relay.logs", logging.WARNING, __file__, 0, message, None, None)


def _with_count(record: logging.LogRecord, more: int) -> logging.LogRecord:
    try:
        last = safe(record.getMessage())
    except (TypeError, ValueError, KeyError):  # arguments that do not fit: the first line has reported it
        last = safe(str(record.msg))
    message = f"{last} (the last of {more} more such lines within a second)"
    return logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, message, None, None)


def counts() -> dict[str, int]:
    """Lines of this process that were not written: `logging_repeated` (counted in another line), `logging_dropped`."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, Handler)]
    return {
        "logging_repeated": sum(each.repeats.left_out for each in handlers),
        "logging_dropped": sum(each.dropped for each in handlers),
    }
