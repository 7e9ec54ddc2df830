"""What events and changes cost in memory, and how many of them one step of the event loop handles.

Rule: an estimate is within a fifth of what tracemalloc measures, whatever an event's tags: a tag of eight characters
costs ten times its text. Measured on CPython 3.11, 64 bits.
"""

from collections.abc import Callable, Iterator, Sequence
from sys import getsizeof
from typing import TypeVar

from relay.changes.change import Added, Change
from relay.protocol.event import StoredEvent

LONG_TAGS = 500
"""An event with more tags has no entries of its own by tag in ring and window. They would cost 180 bytes for each
tag, and 10 ms of the loop for 10,000."""

EVENT_BYTES = 370
"""An event beside its text and its tag keys: the object, id, author and numbers."""

KEY_BYTES = 57
"""A tag key beside its characters."""

ADDED_BYTES = 110
REMOVED_BYTES = 240
"""A change in a ring beside its event, without the entries by key."""

STEP_BYTES = 262_144
"""Changes or events of this size are applied in one step of the loop (some milliseconds), one at least."""

MAX_STEP = 100
"""As many of them are applied in one step at most."""

MAX_LOOKS = 20_000
"""Values of tags that are looked for, each in one event, to answer one filter from memory, before it is left to
PostgreSQL: 2 ms, in events that are not in the processor's cache. 1,000 values in 800 events with 501 tags each took 50
ms, and a REQ has 20 filters.
"""

T = TypeVar("T")


def event_bytes(event: StoredEvent) -> int:
    """The memory of one event."""
    keys = event.tag_keys
    return EVENT_BYTES + len(event.json) + getsizeof(keys) + KEY_BYTES * len(keys) + sum(map(len, keys))


def change_bytes(change: Change) -> int:
    """The memory of a change with its event."""
    return ADDED_BYTES + event_bytes(change.event) if type(change) is Added else REMOVED_BYTES


def steps(items: Sequence[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """`items` in parts, each of which one step of the event loop can apply."""
    begin = size = 0
    for end, item in enumerate(items):
        more = size_of(item)
        if end > begin and (size + more > STEP_BYTES or end - begin >= MAX_STEP):
            yield items[begin:end]
            begin, size = end, 0
        size += more
    if begin < len(items):
        yield items[begin:]
