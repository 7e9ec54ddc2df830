"""Log lines: one a second of a kind, cut and escaped, in a bounded queue that a thread empties."""

import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import logs
from relay.logs import Formatter, Handler, Repeats, safe


def record(
    message: str = "Not Found: %s", *args: object, line: int = 1, level: int = logging.WARNING
) -> logging.LogRecord:
    return logging.LogRecord("django.request", level, "here.py", line, message, args, None)


# -- text that clients send ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, written",
    [
        ("a\r\nb", r"a\x0d\x0ab"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\u202eabc\u2028", r"\u202eabc\u2028"),
        ("grüße 😀", "grüße 😀"),
        ("x" * 1_005, "x" * 1_000 + "... (5 more characters)"),
    ],
)
def test_text_is_cut_and_its_control_characters_are_escaped(text: str, written: str) -> None:
    assert safe(text) == written


@given(st.text(max_size=3_000))
def test_any_text_is_one_printable_line_of_bounded_length(text: str) -> None:
    written = safe(text)

    assert len(written.splitlines()) <= 1
    assert not any(ord(character) < 0x20 for character in written)
    assert len(written) <= 6 * logs.MESSAGE_CHARACTERS + 40
    written.encode()


# -- repeated lines -----------------------------------------------------------------------------------


def test_sixty_records_of_a_kind_are_one_and_a_count_a_second_later() -> None:
    repeats = Repeats()

    passed = [repeats.passes(record("Not Found: %s", f"/{number}"), number / 100) for number in range(60)]
    assert passed == [True] + [False] * 59
    assert list(repeats.due(0.9)) == []
    ((last, more),) = repeats.due(1.0)

    assert (last.getMessage(), more) == ("Not Found: /59", 59)
    assert repeats.left_out == 59


def test_another_statement_level_or_template_is_another_kind() -> None:
    repeats = Repeats()

    assert repeats.passes(record("Not Found: %s", "/"), 0.0)
    assert repeats.passes(record("Forbidden: %s", "/"), 0.0)
    assert repeats.passes(record("Not Found: %s", "/", line=2), 0.0)
    assert repeats.passes(record("Not Found: %s", "/", level=logging.ERROR), 0.0)
    assert not repeats.passes(record("Not Found: %s", "/other"), 0.0)


def test_the_kinds_are_bounded() -> None:
    repeats = Repeats()

    passed = sum(repeats.passes(record(line=line), 0.0) for line in range(2 * logs.MOST_KINDS))

    assert passed == logs.MOST_KINDS + 1


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(0, 3)), max_size=80))
def test_every_record_is_written_or_counted_and_no_kind_twice_in_a_second(steps: list[tuple[float, int]]) -> None:
    repeats = Repeats()
    now, logged = 0.0, 0
    lines: dict[int, list[float]] = {}
    counted = 0
    for step, line in steps:
        now += step
        for last, more in repeats.due(now):
            lines.setdefault(last.lineno, []).append(now)
            counted += more
        logged += 1
        if repeats.passes(record(line=line), now):
            lines.setdefault(line, []).append(now)
            counted += 1
    counted += sum(more for _, more in repeats.due(now + 5.0))

    assert counted == logged
    for moments in lines.values():
        assert all(later - earlier >= 0.999 for earlier, later in pairwise(moments))


# -- lines --------------------------------------------------------------------------------------------


def test_a_request_that_django_refuses_is_one_line() -> None:
    try:
        raise ValueError("Invalid HTTP_HOST header: 'a b'")
    except ValueError as error:
        message, fault = str(error), sys.exc_info()
    made = logging.LogRecord("django.security.DisallowedHost", logging.ERROR, "here.py", 1, message, (), fault)

    assert len(Formatter().format(made).splitlines()) == 1


def test_a_line_of_json_has_every_field() -> None:
    try:
        raise ValueError("bad\x00value")
    except ValueError:
        fault = sys.exc_info()
    made = logging.LogRecord("relay.writer", logging.ERROR, "here.py", 1, "event %s", ("ab",), fault)
    made.created = 1_700_000_000.25

    line = json.loads(Formatter("json", "worker-1", "host-1").format(made))

    assert line.pop("traceback").endswith(r"ValueError: bad\x00value")
    assert line.pop("pid") > 0
    assert line == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "ERROR",
        "logger": "relay.writer",
        "message": "event ab",
        "process": "worker-1",
        "instance": "host-1",
    }


def test_a_line_of_text_names_the_process() -> None:
    made = record("Not Found: %s", "/a\nb")
    made.created = 0.0

    assert Formatter("text", "worker-1").format(made) == (
        r"1970-01-01T00:00:00.000Z WARNING [worker-1] django.request: Not Found: /a\x0ab"
    )


# -- the handler --------------------------------------------------------------------------------------


class Blocked(io.StringIO):
    """A standard error that is unread until `release`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_blocked = True

    def write(self, text: str) -> int:
        while self.is_blocked:
            time.sleep(0.005)
        return super().write(text)


@pytest.fixture
def handler() -> Iterator[Handler]:
    made = Handler()
    made.setFormatter(Formatter())
    yield made
    made.close()


def test_lines_are_written_in_order_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch, handler: Handler) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    for number in range(60):
        handler.handle(record("Not Found: %s", f"/{number}"))
    handler.handle(record("Forbidden: %s", "/x"))
    handler.close()

    lines = [line.partition("django.request: ")[2] for line in stderr.getvalue().splitlines()]
    assert lines == [
        "Not Found: /0",
        "Forbidden: /x",
        "Not Found: /59 (the last of 59 more such lines within a second)",
    ]


def test_a_line_that_cannot_be_made_ends_nothing(monkeypatch: pytest.MonkeyPatch, handler: Handler) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    for _ in range(3):
        handler.handle(record("%s and %s", "only one"))
    handler.handle(record("Forbidden: %s", "/x"))
    handler.close()

    assert "Forbidden: /x" in stderr.getvalue()
    assert "%s and %s (the last of 2 more such lines within a second)" in stderr.getvalue()


def test_an_unread_standard_error_holds_up_no_thread(monkeypatch: pytest.MonkeyPatch, handler: Handler) -> None:
    stderr = Blocked()
    monkeypatch.setattr(sys, "stderr", stderr)
    longest = logs.QUEUE_CHARACTERS // logs.MESSAGE_CHARACTERS
    for number in range(2 * longest):
        handler.handle(record("%s", "x" * logs.MESSAGE_CHARACTERS, line=number % 900, level=logging.DEBUG))

    assert handler.dropped >= longest // 2
    stderr.is_blocked = False
    handler.flush()
    handler.close()
    assert f"{handler.dropped} log lines were dropped" in stderr.getvalue()


def test_the_last_lines_are_written_when_logging_shuts_down(monkeypatch: pytest.MonkeyPatch, handler: Handler) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    handler.handle(record("first %s", "line"))
    handler.flush()
    handler.handle(record("last %s", "line", line=2))
    logging.shutdown([lambda: handler])  # it calls each, as a weak reference

    assert "last line" in stderr.getvalue()
    assert handler._thread is not None
    assert not handler._thread.is_alive()


def test_a_line_that_is_logged_while_the_interpreter_ends_does_not_keep_it_from_ending() -> None:
    program = """
import logging
from relay.logs import Handler

class Last:
    def __del__(self, error=logging.getLogger("last").error):
        error("collected at the very end")

logging.getLogger().addHandler(Handler())
logging.error("the only line")
kept = Last()
kept.itself = kept
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, stderr=subprocess.PIPE, timeout=30)
    assert (ended.returncode, b"the only line" in ended.stderr) == (0, True)
