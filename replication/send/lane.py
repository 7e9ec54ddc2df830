"""Sends one lane to one peer: read, send, note the outcomes, move the cursor.

Rule: the cursor moves over an event once it has its outcome, so that a sender that is killed repeats a batch at most,
and receivers know what they have. One request is under way at a time, so events of a lane arrive in the order of the
log; the next batch gathers meanwhile.
"""

import logging
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from replication import metrics
from replication.answers import (
    MAX_EVENTS,
    MAX_EVENTS_BYTES,
    SETTLED_WELL,
    Accepts,
    Fate,
    Outcome,
    Taken,
    Unreadable,
    decode_taken,
    encode_events,
)
from replication.client import TIMEOUT_SECONDS, Answer, PeerClient, PeerError, printable
from replication.models import Lane, Region
from replication.selection import Selected
from replication.send import backoff
from replication.send.cursor import LEASE_SECONDS, Cursor, Speed
from replication.send.lag import Lag
from replication.send.letters import add_letters
from replication.send.log import Connection, Page, Sendable, read_page, run
from replication.wire import EVENTS_PATH, STATUS_PATH

log = logging.getLogger("relay.replication")

BATCH_SECONDS = 0.1
"""From the start of a batch to that of the next, unless that is full: under load events go in batches."""
IDLE_SECONDS = 1.0
"""How often the log is read while no message of the bus comes."""
NOTE_SECONDS = 1.0
"""How often the cursor moves while the log has nothing for the lane."""
MARGIN_ENTRIES = 10_000
"""How far back a sender goes in a log that may have lost its newest changes: the peer knows what is sent twice."""
BUSY = 429
"""The peer takes it later: no reason to call it down."""
TOO_MUCH = frozenset({400, 413})

Place = tuple[str, int, int]
"""Where a cursor stands: identity and epoch of a store, and a position in its log."""

_faults: dict[tuple[int, str], tuple[Place, int]] = {}
"""By peer and lane: where a batch begins of which the peer said that it stores events, but not one of these, and how
many tries in a row. For all runs of this process: five tries that time out at the peer take longer than one run.
"""


class Sent(Struct, frozen=True):
    """A batch and its answer."""

    events: Sequence[Sendable]
    taken: Taken
    answer: Answer


class LaneSender:
    """One lane of one peer, whose lease this process holds."""

    def __init__(
        self,
        connection: Connection,
        peer: Region,
        lane: Lane,
        cursor: Cursor,
        client: PeerClient,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._peer = peer
        self._lane = lane
        self._cursor = cursor
        self._client = client
        self._clock = clock
        self._selected = Selected.of(peer)
        self.is_idle = False
        """Whether a new entry of the log is what the lane waits for."""
        self._accepts = Accepts()
        self._most = MAX_EVENTS
        self._due = clock() + cursor.wait_seconds
        self._lag = Lag(clock(), cursor.behind_seconds)
        self._noted = self._renewed = clock()
        self._newest = 0
        self._speed = Speed()

    def step(self) -> float:
        """Do what is next. Returns for how many seconds to wait before the next step; a message of the bus ends the
        wait if `is_idle`. Raises LeaseLost, psycopg.Error.
        """
        now, self.is_idle = self._clock(), False
        if now < self._due:
            self._hold_lease()
            return min(self._due - now, IDLE_SECONDS)
        if self._cursor.is_down and not self._answers():  # it stays down until it has taken a batch
            return 0.0
        page = self._page()
        if page is None:
            return 0.0
        self._newest = page.newest
        if page.events:
            return self._send(page, now)
        return self._pass(page, now)

    def _page(self) -> Page | None:
        """The next page; None if the cursor was moved to where the log can be read."""
        most = max(1, min(self._most, self._accepts.events))
        size = max(1, min(MAX_EVENTS_BYTES, self._accepts.bytes))
        cursor = self._cursor
        page = read_page(self._connection, self._lane, self._selected, cursor.position, events=most, size=size)
        if not cursor.identity and not cursor.position:
            self._begin_at(page, page.newest, "")
        elif cursor.identity != page.identity:
            self._begin_at(page, page.newest, "the store of this region is another one")
        elif not cursor.is_of(page.identity, page.epoch):
            safe = max(0, min(cursor.position, page.newest) - MARGIN_ENTRIES)
            self._begin_at(page, safe, "the log of this region may have lost changes")
        elif cursor.position > page.newest:
            self._begin_at(page, max(0, page.newest - MARGIN_ENTRIES), "the log of this region ends before the cursor")
        elif page.first and page.first != cursor.position + 1:
            self._begin_at(page, page.first - 1, "the log was pruned before it was sent")
        else:
            return page
        return None

    def _begin_at(self, page: Page, position: int, why: str) -> None:
        """Go on from `position`; what lies before it, or was lost, is left to anti-entropy."""
        reason = why or "a new peer"
        if why:
            log.warning("%s, %s: %s; goes on at %d, and a repair is asked for", self._peer, self._lane, why, position)
        run(self._connection, "ask_repair", {"peer": self._peer.pk, "reason": reason})
        self._cursor.move(page.identity, page.epoch, position, self._speed)

    def _send(self, page: Page, began: float) -> float:
        self._hold_lease()
        try:
            answer = self._client.post(EVENTS_PATH, encode_events([event.json for event in page.events]))
            taken = decode_taken(answer.body)
            if len(taken.outcomes) != len(page.events):
                raise Unreadable
        except PeerError as error:
            if error.status in TOO_MUCH:
                return self._divide(page, str(error))
            return self._failed(str(error), error.retry_seconds, counts=error.status != BUSY)
        except ValueError:
            return self._failed("answered with what cannot be read")
        self._accepts = taken.accepts
        return self._settle(page, Sent(page.events, taken, answer), began)

    def _divide(self, page: Page, why: str) -> float:
        """The peer cannot read the request as a whole: fewer at a time, until it is known which event is at fault.

        None is while the peer refuses every request: a wrong endpoint, or a proxy, is at fault then.
        """
        if len(page.events) > 1:
            self._most = len(page.events) // 2
            return 0.0
        if not self._answers():
            return 0.0
        self._refused(page.events, [Outcome(Fate.REFUSED, f"error: {why}")])
        self._most = MAX_EVENTS
        self._move(page)
        return 0.0

    def _settle(self, page: Page, sent: Sent, began: float) -> float:
        failed = [outcome for outcome in sent.taken.outcomes if outcome.fate is Fate.FAILED]
        if failed and not self._is_hopeless(storing=sent.taken.storing):
            self._accepts = Accepts()
            return self._failed(printable(failed[0].text) or "the peer does not store events")
        _faults.pop((self._peer.pk, str(self._lane)), None)
        self._refused(sent.events, sent.taken.outcomes)
        for fate in {outcome.fate for outcome in sent.taken.outcomes}:
            number = sum(outcome.fate is fate for outcome in sent.taken.outcomes)
            metrics.sent.labels(self._peer.name, str(self._lane), fate.value).inc(number)
        metrics.sent_bytes.labels(self._peer.name, str(self._lane)).inc(sent.answer.sent_bytes)
        elapsed = max(BATCH_SECONDS, self._clock() - began)
        self._speed = Speed(len(sent.events) / elapsed, sent.answer.sent_bytes / elapsed)
        self._most = min(MAX_EVENTS, 2 * self._most)
        self._move(page, len(sent.events), sent.answer.sent_bytes)
        if not self._accepts.events:
            wait, self._accepts = self._accepts.wait_ms / 1_000, Accepts()
            return wait
        return 0.0 if page.is_cut or page.has_more else max(0.0, began + BATCH_SECONDS - self._clock())

    def _is_hopeless(self, *, storing: bool) -> bool:
        """Count a try at which an event was not stored; True after the last one, if the fault is not the peer's."""
        key, cursor = (self._peer.pk, str(self._lane)), self._cursor
        place = cursor.identity, cursor.epoch, cursor.position
        before, tries = _faults.get(key, (place, 0))
        tries = (tries if before == place else 0) + 1 if storing else 0
        _faults[key] = place, tries
        return tries >= backoff.TRIES

    def _refused(self, events: Sequence[Sendable], outcomes: Sequence[Outcome]) -> None:
        refused = [
            (event, outcome)
            for event, outcome in zip(events, outcomes, strict=True)
            if outcome.fate not in SETTLED_WELL
        ]
        if refused:
            add_letters(self._connection, self._peer, refused)

    def _pass(self, page: Page, now: float) -> float:
        """Nothing on this page is for the peer and lane."""
        if page.has_more and page.reaches > self._cursor.position:
            self._move(page)
            return 0.0
        is_news = page.reaches > self._cursor.position or self._speed.events_per_second > 0
        if self._cursor.is_down or (is_news and now - self._noted > NOTE_SECONDS):
            self._speed = Speed()
            self._move(page)
        else:
            self._hold_lease()
        self.is_idle = True
        return IDLE_SECONDS

    def _move(self, page: Page, sent: int = 0, sent_bytes: int = 0) -> None:
        now, reaches = self._clock(), max(page.reaches, self._cursor.position)
        if self._cursor.is_down:
            log.warning("region %s takes lane %s again", self._peer, self._lane)
        lag = Speed(
            self._speed.events_per_second,
            self._speed.bytes_per_second,
            max(0, page.newest - reaches),
            self._lag.seconds(now, reaches, page.newest),
        )
        self._cursor.move(page.identity, page.epoch, reaches, lag, sent=sent, sent_bytes=sent_bytes)
        self._noted = self._renewed = now

    def _failed(self, why: str, retry_seconds: float = 0.0, *, counts: bool = True) -> float:
        """Try again after a while; after the last try the peer is down."""
        now, cursor = self._clock(), self._cursor
        metrics.failures.labels(self._peer.name, str(self._lane)).inc()
        attempts, was_down = cursor.attempts + counts, cursor.is_down
        wait = max(retry_seconds, backoff.seconds_after(max(1, attempts)))
        behind = max(0, self._newest - cursor.position)
        seconds = self._lag.seconds(now, cursor.position, self._newest)
        cursor.failed(attempts, why, wait, Speed(lag_events=behind, lag_seconds=seconds))
        if cursor.is_down and not was_down:
            log.warning("region %s is down for lane %s: %s", self._peer, self._lane, why)
        self._due, self._renewed = now + wait, now
        return 0.0

    def _answers(self) -> bool:
        """Ask the peer for its state; True if it answers, and is tried again then."""
        self._hold_lease()
        try:
            self._client.get(STATUS_PATH)
        except PeerError as error:
            (self._newest,) = run(self._connection, "newest", {}) or (self._newest,)  # no page is read meanwhile
            self._failed(str(error), error.retry_seconds)
            return False
        return True

    def _hold_lease(self) -> None:
        """Have the lease last for a request, with which the thread is busy for TIMEOUT_SECONDS, and what follows it."""
        if self._clock() - self._renewed > (LEASE_SECONDS - TIMEOUT_SECONDS) / 2:
            self._cursor.renew()
            self._renewed = self._clock()
