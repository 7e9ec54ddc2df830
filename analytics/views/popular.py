"""`GET /api/popular`: the popular events as JSON, for clients that want a page of what people talk about.

Rule: a request costs the database nothing most of the time: an answer is kept for some seconds by each process, for
the few questions there are, and clients and proxies are told how long they may keep theirs.
"""

import threading
import time
from typing import Any, Final, NamedTuple

import msgspec
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse

from analytics.popular import PERIODS, Popular, popular, refreshed_at
from analytics.popularity import POPULAR_KINDS
from relay.views.api import BadParameter, error_response, json_response, reject_unknown_parameters
from relay.views.cors import answer_other_methods

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_AGE_SECONDS: Final = 60
KEPT_SECONDS: Final = 10.0
"""An answer is not made more often than this; an event that was removed may be in it so long."""

Question = tuple[int, str, int]


class Rows(NamedTuple):
    """What the view held at `read_at` (monotonic), as JSON: when it was refreshed, and each event."""

    read_at: float
    refreshed_at: bytes
    events: list[bytes]


class Answers:
    """The popular events as last read for each kind and period, which answer any limit: a few pages at most."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], Rows] = {}
        self._lock = threading.Lock()

    def get(self, question: Question) -> bytes:
        """The JSON of an answer, at most KEPT_SECONDS old. Raises OperationalError."""
        kind, period, limit = question
        rows = self._rows(kind, period)
        return b'{"kind":%d,"period":"%b","refreshed_at":%b,"events":[%b]}' % (
            kind,
            period.encode(),
            rows.refreshed_at,
            b",".join(rows.events[:limit]),
        )

    def _rows(self, kind: int, period: str) -> Rows:
        with self._lock:  # whoever comes while one asks the database waits for that answer
            rows = self._kept.get((kind, period))
            if rows is None or time.monotonic() - rows.read_at > KEPT_SECONDS:
                events = [msgspec.json.encode(_shown(one)) for one in popular(kind, period, MAX_LIMIT)]
                rows = Rows(time.monotonic(), msgspec.json.encode(refreshed_at()), events)
                self._kept[kind, period] = rows
            return rows

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()


answers = Answers()
"""Those of this process."""


def popular_events(request: HttpRequest) -> HttpResponse:
    """200 with the events, 304 for who has them; 400 names a wrong parameter; 503 while the database is away.

    Parameters: `kind` (1), `period` (hour, day, week: how old a note may be; week), `limit` (1 to 100; 20).
    """
    if (other := answer_other_methods(request)) is not None:
        return other
    try:
        body = answers.get(question(request.GET.dict()))
    except BadParameter as error:
        return error_response(400, str(error))
    except OperationalError:
        return error_response(503, "the database does not answer; try again later", retry_after_seconds=1)
    return json_response(request, body, f"public, max-age={MAX_AGE_SECONDS}")


def question(given: dict[str, str]) -> Question:
    """The parameters, checked. Raises BadParameter."""
    reject_unknown_parameters(given, {"kind", "period", "limit"}, "known are kind, period and limit")
    kind = _number("kind", given.get("kind", str(POPULAR_KINDS[0])))
    if kind not in POPULAR_KINDS:
        raise BadParameter(f"kind must be one of {', '.join(map(str, POPULAR_KINDS))}")
    period = given.get("period", "week")
    if period not in PERIODS:
        raise BadParameter(f"period must be one of {', '.join(PERIODS)}")
    limit = _number("limit", given.get("limit", str(DEFAULT_LIMIT)))
    if not 1 <= limit <= MAX_LIMIT:
        raise BadParameter(f"limit must be from 1 to {MAX_LIMIT}")
    return kind, period, limit


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise BadParameter(f"{name} must be a whole number")
    return int(text)


def _shown(one: Popular) -> dict[str, Any]:
    counts = {name: getattr(one, name) for name in ("rank", "people", "reactions", "reposts", "replies", "zaps")}
    return {**counts, "event": msgspec.Raw(one.json.encode())}
