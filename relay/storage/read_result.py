"""The answer to a query: its forms, the reading of its lines, and the union of the answers to several filters.

Rule: pure. What the lines are is said by `relay.storage.filter_sql.query_statement`, which writes them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct

from relay.changes.row import created_at_of, id_of
from relay.protocol.audience import Audience
from relay.protocol.filters import Filter
from relay.protocol.messages import End
from relay.protocol.visibility import can_match
from relay.storage.filter_sql import END, MARK, Key, rows_wanted

T = TypeVar("T")
Item = bytes | Key
"""An event of an answer: its JSON text, or its key if the text is to be fetched by `Reads.texts`."""


class Result(Struct, frozen=True, gc=False):
    """Events newest first, ties by the lowest id, each once; the state after change `position`."""

    position: int
    events: Sequence[Item]
    end: End


class Part(Struct, frozen=True, gc=False):
    """The answer to one filter, newest first: `texts`, then `keys` of the events whose texts were not fetched.

    `complete`: no stored match lies below the last event. `next`: the first one below it, None if it is not known.
    """

    texts: Sequence[bytes]
    complete: bool
    keys: Sequence[Key] = ()
    next: Item | None = None

    @property
    def items(self) -> Sequence[Item]:
        """All events of the answer."""
        return [*self.texts, *self.keys] if self.keys else self.texts

    @property
    def lasting_next(self) -> str | None:
        """The id of `next`, None if it may expire."""
        text = self.next
        return None if type(text) is not bytes or b'"expiration"' in text else id_of(text).decode("ascii")


def merged(pages: Sequence[Sequence[Item]]) -> Sequence[Item]:
    """The union of pages, newest first, each event once (01-F14); its text rather than its key."""
    if len(pages) == 1:
        return pages[0]
    found: dict[bytes, Item] = {}
    for page in pages:
        for item in page:
            if type(item) is Key:
                found.setdefault(item.id, item)
            else:
                found[id_of(item)] = item  # type: ignore[arg-type]
    return sorted(found.values(), key=_newest_first)


def end_of(parts: Sequence[Part], items: Sequence[Item]) -> End:
    """What is known of the end of `items`, the union of the parts (67-1)."""
    if all(part.complete for part in parts):
        return End.FINISH
    following = [id_in(part.next) for part in parts if part.next is not None]
    if len(parts) > 1 and following:  # one filter's next may be another's answer
        sent = set(map(id_in, items))
        following = [event_id for event_id in following if event_id not in sent]
    return End.MORE if following else End.UNKNOWN


def end_for(filters: Sequence[Filter], audience: Audience, end: End) -> End:
    """`end` of those of `filters` that were asked: of one with limit 0 it is not known what else matches (67-2)."""
    if end is End.FINISH and any(flt.limit == 0 and can_match(flt, audience) for flt in filters):
        return End.UNKNOWN
    return end


def id_in(item: Item) -> bytes:
    """The id of an event of an answer, 64 hex digits."""
    return item.id if type(item) is Key else id_of(item)  # type: ignore[arg-type]


def merged_texts(pages: Iterable[Sequence[bytes]]) -> Sequence[bytes]:
    """Like `merged`, of texts alone."""
    texts = {id_of(text): text for page in pages for text in page}
    return sorted(texts.values(), key=lambda text: (-created_at_of(text), id_of(text)))


def key_of(text: bytes) -> Key:
    """The key of a text, so that the text itself need not be kept."""
    return Key(id_of(text), created_at_of(text), len(text))


def _time_of(item: Item) -> int:
    return item.created_at if type(item) is Key else created_at_of(item)  # type: ignore[arg-type]


def _newest_first(item: Item) -> tuple[int, bytes]:
    return -_time_of(item), id_in(item)


_NOTHING = Part((), True)


class Stopped(Exception):
    """A walk stopped at its bound before the answer was complete."""


def part_of(value: bytes | None, flt: Filter, has_end: bool) -> Part:
    """Read a column of `query_statement`, and cut it like `relay.changes.overlay.cut`: the relay's own default takes
    the whole boundary second (01-F18).

    Raises Stopped if a walk stopped before the answer was complete.
    """
    if value is None:
        if has_end:
            raise Stopped
        return _NOTHING
    lines = value.split(b"\n")
    everything = len(lines) < rows_wanted(flt) or lines[-1] == END
    following: Item | None = None
    if lines[-1] == END:
        lines.pop()
        if not lines:
            return _NOTHING
    elif has_end and everything:
        _check_stopped(lines, flt)
        everything = False
    elif not has_end and MARK in lines:
        del lines[lines.index(MARK) :]
        _check_stopped(lines, flt)
        everything = False
    if len(lines) > flt.limit:
        end = _cut_at(lines, flt, _created_at)
        everything = everything and end == len(lines)
        if end < len(lines):
            following = lines[end] if lines[end][:1] == _TEXT else Key.of(lines[end])
        del lines[end:]
    if lines[-1][:1] == _TEXT:
        return Part(lines, everything, (), following)
    first = next(number for number, line in enumerate(lines) if line[:1] != _TEXT)
    return Part(lines[:first], everything, [Key.of(line) for line in lines[first:]], following)


def joined(parts: Sequence[Part], flt: Filter) -> Part:
    """The answer of a filter from those of its `visibility.division`, each of which has its limit."""
    if len(parts) == 1:
        return parts[0]
    items = merged([part.items for part in parts])
    end = _cut_at(items, flt, _time_of)
    sent = items[:end]
    ids = set(map(id_in, sent))
    following = [item for item in (*items[end:], *[part.next for part in parts]) if item and id_in(item) not in ids]
    texts = next((number for number, item in enumerate(sent) if type(item) is Key), len(sent))
    return Part(
        [item for item in sent[:texts] if type(item) is bytes],
        end == len(items) and all(part.complete for part in parts),
        [item if type(item) is Key else key_of(item) for item in sent[texts:]],  # type: ignore[arg-type]
        min(following, key=_newest_first, default=None),
    )


def _cut_at(items: Sequence[T], flt: Filter, time_of: Callable[[T], int]) -> int:
    """How many of the items belong to the answer."""
    end = min(flt.limit, len(items))
    if end == len(items) or not flt.capped:
        return end
    boundary = time_of(items[end - 1])
    while end < min(len(items), 2 * flt.limit) and time_of(items[end]) == boundary:
        end += 1
    return end


def _check_stopped(lines: list[bytes], flt: Filter) -> None:
    """Raises Stopped if the walk had to go on below these lines."""
    if len(lines) < flt.limit or (flt.capped and _created_at(lines[-1]) == _created_at(lines[flt.limit - 1])):
        raise Stopped


_TEXT = b"{"
"""The first byte of a text; a key begins with a hex digit."""


def _created_at(line: bytes) -> int:
    return created_at_of(line) if line[:1] == _TEXT else int(line.split(b" ", 2)[1])
