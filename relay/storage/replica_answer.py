"""Brings the answer of a replica, which is the state after an earlier change, to the position of this process.

Rule: pure. The result is what the primary would answer at that position to the same audience, or None: then another
server must be asked.
"""

from collections.abc import Sequence

from relay.changes.change import Added, Change
from relay.changes.overlay import Found, Page, overlay, takes_long
from relay.changes.ring import Ring, ring_keys
from relay.changes.row import Row
from relay.protocol.audience import Audience
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.visibility import may_be_private
from relay.storage.filter_sql import Key
from relay.storage.question import Question
from relay.storage.read_result import Item, Part, id_in

MOST_BEHIND = 2_000
"""Changes by which an answer is advanced: about half a millisecond of the loop for a filter. A replica that is further
behind is not asked."""


def advanced(parts: Sequence[Part], question: Question, position: int, ring: Ring, now: int) -> list[Part] | None:
    """The parts, which answer the question at `position`, as of the ring's position and of `now` (Unix seconds).

    None if the ring does not reach back to `position`, if rows are missing below those of a part, or if it would take
    long, as of changes with many tags.
    """
    if position < ring.floor or ring.position - position > MOST_BEHIND:
        return None
    changes = ring.since(position)
    if not changes:
        return list(parts)
    if any(takes_long(flt, changes) for flt in question.filters):
        return None
    # What a request to vanish hides among private events is said by their tags: they are read whole.
    whole = ring.newest_hiding > position and may_be_private(question.filters, question.audience)
    found = []
    for part, flt in zip(parts, question.filters, strict=True):
        new = _advanced(part, flt, question.audience, position, changes, ring, now, whole)
        if new is None:
            return None
        found.append(new)
    return found


def _advanced(  # noqa: PLR0917 - one call, of the function above
    part: Part,
    flt: Filter,
    audience: Audience,
    position: int,
    changes: Sequence[Change],
    ring: Ring,
    now: int,
    whole: bool,
) -> Part | None:
    if _is_untouched(part, flt, position, changes, ring):
        return part
    if part.keys and ring.newest_hiding > position:
        return None  # a key says neither kind nor author
    keys = {key.id.decode(): key for key in part.keys}
    rows: list[Found] = [StoredEvent.from_json(text) if whole else Row.of(text) for text in part.texts]
    rows += [Row(event_id, key.created_at, 0, None, b"") for event_id, key in keys.items()]
    over = overlay(Page(rows, part.complete), flt, changes, now, audience)
    if over.short:
        return None
    texts: list[bytes] = []
    left: list[Key] = []
    for row in over.rows:
        key = keys.get(row.id)
        if key is None and not left:
            texts.append(row.json)
        else:  # keys come last
            left.append(key or Key(row.id.encode(), row.created_at, len(row.json)))
    following = part.next if over.cut is None else _item(over.cut, keys)
    if over.cut is None and following is not None and _may_be_gone(following, position, ring):
        following = None
    return Part(texts, over.complete, left, following)


def _is_untouched(part: Part, flt: Filter, position: int, changes: Sequence[Change], ring: Ring) -> bool:
    """True if no change concerns the part, which most often is so: then no row has to be parsed."""
    if ring.newest_hiding > position:
        return False
    if ring.newest_removal > position:
        items = part.items if part.next is None else [*part.items, part.next]
        if any(ring.removed(id_in(item).decode(), position) for item in items):
            return False
    keys = ring_keys(flt)
    if keys is not None and not ring.touched(keys, position):
        return True
    return not any(type(change) is Added and flt.matches(change.event) for change in changes)


def _item(row: Found, keys: dict[str, Key]) -> Item:
    return keys.get(row.id) or row.json


def _may_be_gone(item: Item, position: int, ring: Ring) -> bool:
    return ring.newest_hiding > position or ring.removed(id_in(item).decode(), position)
