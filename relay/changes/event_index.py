"""Events in memory, found by id, author, kind and tag.

Rule: every list is a posting list (`posting_lists`), and each event is in the list of all, in those of its author and
kind, and in those of its tags, or, if it has very many, in one list of such events.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress

from relay.changes.posting_lists import (
    FEW,
    PostingList,
    insert_all,
    insert_each,
    remove,
    remove_from,
    remove_many,
    remove_oldest,
)
from relay.changes.sizes import LONG_TAGS, event_bytes
from relay.protocol.event import StoredEvent
from relay.protocol.visibility import is_copied

ENTRY_BYTES = 70
"""An event's places in the lists, beside the event (`sizes.event_bytes`)."""

PLACE_BYTES = 9
"""An event's place in the list of one tag."""

LIST_BYTES = 130
"""A list by tag or author, and its key."""


class EventIndex:
    """Events of copied kinds with their posting lists, which are read but not changed from outside."""

    __slots__ = ("all", "all_authors", "authors", "by_id", "entries_bytes", "kinds", "long", "names", "tags")

    def __init__(self) -> None:
        self.entries_bytes = 0
        """The events and their places in the lists."""
        self.by_id: dict[str, StoredEvent] = {}
        self.all: PostingList = []
        self.all_authors: list[str] = []
        """The authors of `all`, interned: reading them touches no event."""
        # Separate dictionaries: a tag's letter and value may equal an author.
        self.authors: dict[str, PostingList] = {}
        self.names: dict[str, str] = {}
        self.kinds: dict[int, PostingList] = {}
        self.tags: dict[str, PostingList] = {}
        self.long: PostingList = []
        """Events with more than LONG_TAGS tags, which are not in `tags`."""

    def __len__(self) -> int:
        return len(self.by_id)

    @property
    def bytes(self) -> int:
        """The memory of the events and their lists."""
        return self.entries_bytes + LIST_BYTES * (len(self.tags) + len(self.authors))

    def insert(self, events: Iterable[StoredEvent]) -> None:
        """Add events; private ones, and those that are known, are left out."""
        known = self.by_id
        fresh = [event for event in events if event.id not in known and is_copied(event.kind)]
        authors: dict[str, PostingList] = {}
        kinds: dict[int, PostingList] = {}
        tags: dict[str, PostingList] = {}
        for event in fresh:
            known[event.id] = event
            self.entries_bytes += _entry_bytes(event)
            authors.setdefault(event.pubkey, []).append(event)
            kinds.setdefault(event.kind, []).append(event)
            keys = event.tag_keys
            if len(keys) > LONG_TAGS:
                insert_all(self.long, [event])
                continue
            for key in keys:
                tags.setdefault(key, []).append(event)
        insert_each(self.authors, authors)
        insert_all(self.all, fresh, self.all_authors, self.names)
        insert_each(self.kinds, kinds)
        insert_each(self.tags, tags)

    def remove(self, event_id: str) -> None:
        """Remove an event; no error if it is not known."""
        event = self.by_id.pop(event_id, None)
        if event is None:
            return
        self.entries_bytes -= _entry_bytes(event)
        del self.all_authors[remove(self.all, event)]
        remove_from(self.authors, event.pubkey, event)
        remove_from(self.kinds, event.kind, event)
        if len(event.tag_keys) > LONG_TAGS:
            remove(self.long, event)
            return
        for key in event.tag_keys:
            remove_from(self.tags, key, event)

    def remove_all(self, events: Sequence[StoredEvent]) -> None:
        """Remove known events; many in one pass over each list that holds some of them."""
        if len(events) <= FEW:
            for event in events:
                self.remove(event.id)
            return
        gone = {event.id for event in events}
        for event in events:
            del self.by_id[event.id]
            self.entries_bytes -= _entry_bytes(event)
        kept = [event.id not in gone for event in self.all]
        self.all = list(compress(self.all, kept))
        self.all_authors = list(compress(self.all_authors, kept))
        remove_many(self.authors, {event.pubkey for event in events}, gone)
        remove_many(self.kinds, {event.kind for event in events}, gone)
        self.long = [event for event in self.long if event.id not in gone]
        short = [event for event in events if len(event.tag_keys) <= LONG_TAGS]
        remove_many(self.tags, {key for event in short for key in event.tag_keys}, gone)

    def evict_to(self, size: float) -> int:
        """Remove the oldest events, one at least, until `entries_bytes` is `size` or less; returns how many."""
        count = 0
        for event in self.all:
            self.entries_bytes -= _entry_bytes(event)
            count += 1
            if self.entries_bytes <= size:
                break
        gone = self.all[:count]
        del self.all[:count]
        del self.all_authors[:count]
        for event in gone:
            del self.by_id[event.id]
        remove_oldest(self.authors, Counter([event.pubkey for event in gone]))
        remove_oldest(self.kinds, Counter([event.kind for event in gone]))
        short = [event for event in gone if len(event.tag_keys) <= LONG_TAGS]
        remove_oldest(self.tags, Counter([key for event in short for key in event.tag_keys]))
        del self.long[: len(gone) - len(short)]
        return count

    def forget_names(self) -> None:
        """Drop the interned names of authors without events, once they are more than half of them."""
        if len(self.names) > 2 * len(self.authors) + 1_000:
            self.names = {name: self.names[name] for name in self.authors}


def _entry_bytes(event: StoredEvent) -> int:
    return ENTRY_BYTES + event_bytes(event) + PLACE_BYTES * len(event.tag_keys)
