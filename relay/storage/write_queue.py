"""The queue of the writer: bounded in events and bytes, and the rule by which the next batch is taken from it.

Rule: no batch needs a decision about two events of one address or id, and a short event waits for one long one at most.
"""

from collections import deque
from collections.abc import Callable

from relay.protocol.errors import Failed
from relay.storage.batch import Entry
from relay.storage.write_result import WriteOutcome

MAX_BATCH_BYTES = 2_097_152
"""JSON text in one transaction, beyond which one more event may reach. 500 large events took longer than the time-out
of a write, and all of them failed."""

MAX_BATCH_TAGS = 5_000
"""Tag rows in one transaction of several events; they take 25 ms."""

LONG_TAGS = 1_000
"""An event with more tags is written in a transaction of its own, and shorter events go first after it: a note waits
for one such event at most, however many lists of 5,000 tags are queued before it."""

MAX_QUEUE_BYTES = 134_217_728
"""JSON text queued in one process; more is refused, however few events it is."""

Waiter = Callable[[Entry, WriteOutcome], None]
"""Called once with the outcome of its entry, in the loop; must not raise."""

Queued = tuple[Entry, Waiter]


class WriteQueue:
    """Events that wait to be written. `bytes` is their JSON text."""

    def __init__(self, batch_events: int, queue_events: int) -> None:
        """`batch_events`: at most so many in a batch. `queue_events`: at most so many wait."""
        self.bytes = 0
        self._batch_events = batch_events
        self._queue_events = queue_events
        self._queued: deque[Queued] = deque()
        self._short_first = False

    def __len__(self) -> int:
        return len(self._queued)

    def add(self, entry: Entry, waiter: Waiter) -> None:
        """Append an event. Raises Failed if the queue is full."""
        if len(self._queued) >= self._queue_events or self.bytes >= MAX_QUEUE_BYTES:
            raise Failed("the relay is too busy to store events now, try again")
        self.bytes += len(entry.event.json)
        self._queued.append((entry, waiter))

    def clear(self) -> list[Queued]:
        """Take all that wait."""
        rest = list(self._queued)
        self._queued.clear()
        self.bytes = 0
        return rest

    def take(self) -> list[Queued]:
        """The next batch, in order of arrival.

        A second version of an address and a second copy of an id wait for the next batch, and so do long events behind
        others, and events of another origin. None of them is overtaken by an event of its address or id.
        """
        taken: list[Queued] = []
        later: list[Queued] = []
        ids: set[str] = set()
        addresses: set[tuple[str, int, str]] = set()
        queue = self._queued
        size = tags = 0
        while queue and size < MAX_BATCH_BYTES and len(taken) < self._batch_events and len(later) < self._batch_events:
            item = queue.popleft()
            entry = item[0]
            event = entry.event
            is_long = len(event.tag_keys) > LONG_TAGS
            address = None if entry.d is None else (event.pubkey, event.kind, entry.d)
            if (
                event.id in ids
                or address in addresses
                or (taken and entry.origin != taken[0][0].origin)
                or (is_long and (taken or self._short_first))
                or (taken and tags + len(event.tag_keys) > MAX_BATCH_TAGS)
            ):
                later.append(item)
                ids.add(event.id)  # what comes after it with this id or address must not overtake it
                if address is not None:
                    addresses.add(address)
                continue
            if address is not None:
                addresses.add(address)
            ids.add(event.id)
            taken.append(item)
            size += len(event.json)
            tags += len(event.tag_keys)
            if is_long:
                break
        if not taken and later:  # only long ones
            taken.append(later.pop(0))
            size = len(taken[0][0].event.json)
        self._short_first = bool(taken) and len(taken[0][0].event.tag_keys) > LONG_TAGS
        queue.extendleft(reversed(later))
        self.bytes -= size
        return taken
