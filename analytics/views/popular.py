"""`GET /api/popular`: popular events as JSON. Each process caches its few possible answers for some seconds."""

import threading
import time
from typing import Any, Final, NamedTuple

import msgspec
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse

from analytics.popular import PERIODS, Popular, popular, refreshed_at
from analytics.popularity import POPULAR_KINDS
from relay.views.api import BadParameter, error_response, json_response, query_of, reject_unknown_parameters
from relay.views.cors import answer_other_methods

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_AGE_SECONDS: Final = 60
KEPT_SECONDS: Final = 10.0
"""Age limit of cached rows; a removed event may be shown for as long."""

Question = tuple[int, str, int]


class Rows(NamedTuple):
    """The view's rows at `read_at` (monotonic seconds); time of refresh and events as JSON."""

    read_at: float
    refreshed_at: bytes
    events: list[bytes]


class Answers:
    """A cache of MAX_LIMIT events for each kind and period, which answers any limit."""

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
        with self._lock:  # concurrent requests share one query
            rows = self._kept.get((kind, period))
            if rows is None or time.monotonic() - rows.read_at > KEPT_SECONDS:
                events = [msgspec.json.encode(_shown(one)) for one in popular(kind, period, MAX_LIMIT)]
                rows = Rows(time.monotonic(), msgspec.json.encode(refreshed_at()), events)
                self._kept[kind, period] = rows
            return rows

    def clear(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._kept.clear()


answers = Answers()
"""The cache of this process."""


def popular_events(request: HttpRequest) -> HttpResponse:
    """200 with the events, or 304 (ETag); 400: invalid parameter; 503: the database does not answer.

    Parameters and defaults: `kind` (1), `period` (maximum age: hour, day or week), `limit` (1 to 100; 20).
    """
    if (other := answer_other_methods(request)) is not None:
        return other
    try:
        body = answers.get(question({name: str(value) for name, value in query_of(request).items()}))
    except BadParameter as error:
        return error_response(400, str(error))
    except OperationalError:
        return error_response(503, "the database does not answer; try again later", retry_after_seconds=1)
    return json_response(request, body, f"public, max-age={MAX_AGE_SECONDS}")


def question(given: dict[str, str]) -> Question:
    """Validate the query parameters: kind, period, limit. Raises BadParameter."""
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
