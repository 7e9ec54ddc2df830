"""Brings an answer at position S to position P by applying the changes of (S, P] (rule 2 of ARCHITECTURE.md).

Rule: the result equals the query at P of the same audience, or says what it does not know.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from msgspec import Struct

from relay.changes.change import Added, Change, Purged, Removed
from relay.changes.row import Row, pubkey_of
from relay.changes.sizes import MAX_LOOKS
from relay.changes.vanished import VanishedKeys
from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.visibility import owners, visible

_AFTER_EVERY_ID = "g"  # ids are hex digits

FEW_TAGS = 10
"""Events with no more tags are compared as fast with any filter."""

Found = StoredEvent | Row
"""An event of an answer: whole, or as much of it as answers need."""


F = TypeVar("F", StoredEvent, Row, Found)


def newest_first(event: Found) -> tuple[int, str]:
    """Sort key of every answer: created_at descending, ties by the lowest id (01-F13)."""
    return -event.created_at, event.id


class Page(Struct, frozen=True):
    """Rows newest first: of public kinds, or whole events. `complete`: no stored match lies below the last row."""

    rows: Sequence[Found]
    complete: bool


class Overlaid(Struct, frozen=True):
    """Rows at the new position; `short` is True if rows below the old last one must be queried.

    `cut`: the first row that the limit has cut off, None if it cut none.
    """

    rows: Sequence[Found]
    complete: bool
    short: bool
    cut: Found | None = None


def cut(rows: Sequence[F], flt: Filter) -> Sequence[F]:
    """The rows that the filter's limit leaves.

    A client's limit is exact; the relay's own cap takes the whole boundary second, up to twice the cap (01-F18).
    """
    limit = flt.limit
    if len(rows) <= limit:
        return rows
    end = limit
    if flt.capped and limit:
        boundary = rows[limit - 1].created_at
        while end < min(len(rows), 2 * limit) and rows[end].created_at == boundary:
            end += 1
    return rows[:end]


def overlay(page: Page, flt: Filter, changes: Iterable[Change], now: int, audience: Audience = ANONYMOUS) -> Overlaid:
    """Apply `changes` (oldest first, all after the page's position) to a page of `flt` for `audience`.

    The last change of an id wins; a request to vanish or a purge wins over what was added before it. If a limit cut the
    page, nothing is known below its last row: older additions are dropped, and removals may leave it short. `now` (Unix
    seconds) decides what has expired (X-1).
    """
    last: dict[str, Added | None] = {}
    vanished = VanishedKeys()
    purged: list[Purged] = []
    for change in changes:
        if type(change) is Added:
            last[change.event.id] = change
        elif type(change) is Removed:
            last[change.event_id] = None
        elif type(change) is Purged:
            purged.append(change)
            hides = change.hides
            last = {id: a for id, a in last.items() if a is None or not hides(a.event.kind, a.event.created_at)}
        else:
            vanished.add(change)  # type: ignore[arg-type]
    rows = [row for row in page.rows if row.id not in last and (row.expires_at is None or row.expires_at > now)]
    if vanished:
        rows = [row for row in rows if not _is_hidden(row, -1, vanished)]
    for purge in purged:
        rows = [row for row in rows if not purge.hides(row.kind, row.created_at)]
    bound = _known_down_to(page, flt)
    for added in last.values():
        if added is None:
            continue
        event = added.event
        if not visible(event, audience, now) or not flt.matches(event):
            continue
        if vanished and _is_hidden(event, added.seq, vanished):
            continue
        if bound is None or newest_first(event) <= bound:
            rows.append(event)
    rows.sort(key=newest_first)
    kept = cut(rows, flt)
    short = not page.complete and (len(rows) < flt.limit or _second_was_cut(page, flt, kept))
    below = rows[len(kept)] if len(kept) < len(rows) else None
    return Overlaid(kept, page.complete and below is None, short, below)


def takes_long(flt: Filter, changes: Iterable[Change]) -> bool:
    """True if the overlay would look for more values of tags than one step may."""
    if not flt.tags:
        return False
    added = [change.event for change in changes if type(change) is Added]
    return sum([flt.looks(event) for event in added if len(event.tag_keys) > FEW_TAGS]) > MAX_LOOKS


def _is_hidden(row: Found, added: int, vanished: VanishedKeys) -> bool:
    """True if a request to vanish after the change `added` hides the row, which may be a gift wrap for the key."""
    keys = [pubkey_of(row.json)] if type(row) is Row else owners(row)  # type: ignore[arg-type]
    return any(vanished.hides(key, row.created_at, added) for key in keys)


def _known_down_to(page: Page, flt: Filter) -> tuple[int, str] | None:
    """The position, in the order of answers, down to which the page has every match; None if it has them all.

    A page cut by the relay's own cap holds all of its last second, unless that was cut at twice the cap.
    """
    if page.complete or not page.rows:
        return None
    last = page.rows[-1]
    whole = flt.capped and len(page.rows) < 2 * flt.limit
    return (-last.created_at, _AFTER_EVERY_ID) if whole else newest_first(last)


def _second_was_cut(page: Page, flt: Filter, kept: Sequence[Found]) -> bool:
    """True if the page ended inside a second that is now the boundary second and has room for more of it."""
    full = flt.capped and len(page.rows) >= 2 * flt.limit
    return full and len(kept) < 2 * flt.limit and kept[-1].created_at <= page.rows[-1].created_at
