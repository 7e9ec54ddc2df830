"""The queue of the writer: bounded in events and bytes, and the rule by which the next batch is taken from it.

Rule: no batch needs a decision about two events of one address or id, or about a deletion and an event that it may
delete; a request to vanish is a batch of its own; and a short event waits for one long one at most.
"""

from collections import deque
from collections.abc import Callable

from relay.protocol.errors import Failed
from relay.protocol.visibility import RECIPIENTS_OWN_KINDS, owners
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


class _Owner:
    """What waits of one owner."""

    __slots__ = ("bytes", "name", "queued")

    def __init__(self, name: str) -> None:
        self.name = name
        self.queued: deque[Queued] = deque()
        self.bytes = 0


class WriteQueue:
    """Events that wait to be written. `bytes` is their JSON text."""

    def __init__(self, batch_events: int, queue_events: int) -> None:
        """The most events in a batch, and the most that wait."""
        self.bytes = 0
        self._len = 0
        self._batch_events = batch_events
        self._queue_events = queue_events
        self._owners: dict[str, _Owner] = {}
        self._turns: deque[_Owner] = deque()
        """Owners of whom events wait, in the order of their turns."""
        self._short_first = False

    def __len__(self) -> int:
        return self._len

    def add(self, entry: Entry, waiter: Waiter, owner: str = "") -> None:
        """Append an event of `owner`. Raises Failed if the queue is full.

        An owner of whom less than an equal share waits finds room in a full queue, up to twice the bounds in all.
        """
        mine = self._owners.get(owner)
        if self._len >= self._queue_events or self.bytes >= MAX_QUEUE_BYTES:
            self._check_share(mine)
        if mine is None:
            mine = self._owners[owner] = _Owner(owner)
            self._turns.append(mine)
        size = len(entry.event.json)
        self.bytes += size
        mine.bytes += size
        self._len += 1
        mine.queued.append((entry, waiter))

    def _check_share(self, mine: _Owner | None) -> None:
        events, size = (len(mine.queued), mine.bytes) if mine is not None else (0, 0)
        owners = len(self._owners) + (mine is None)
        if (
            self._len >= 2 * self._queue_events
            or self.bytes >= 2 * MAX_QUEUE_BYTES
            or events * owners >= self._queue_events
            or size * owners >= MAX_QUEUE_BYTES
        ):
            raise Failed("the relay is too busy to store events now, try again")

    def clear(self) -> list[Queued]:
        """Take all that wait."""
        rest = [item for owner in self._turns for item in owner.queued]
        self._owners.clear()
        self._turns.clear()
        self.bytes = self._len = 0
        return rest

    def take(self) -> list[Queued]:  # noqa: PLR0915 - the hot path: one pass over what waits
        """The next batch: an event of each owner in turn, those of one owner in order of arrival.

        A second version of an address and a second copy of an id wait for the next batch, and so do long events behind
        others, events of another origin, and what may concern a deletion: its author's other events. None of them is
        overtaken by an event of its owner with its address or id, or by what it may concern.
        """
        taken: list[Queued] = []
        later: list[tuple[_Owner, Queued]] = []
        ids: set[str] = set()
        addresses: set[tuple[str, int, str]] = set()
        turns, limit = self._turns, self._batch_events
        deleters: set[str] = set()  # authors of deletions and requests to vanish, taken or put off
        others: set[str] = set()  # whose all other events are, and authors of requests to vanish
        size = tags = 0
        while turns and size < MAX_BATCH_BYTES and len(taken) < limit and len(later) < limit:
            owner = turns[0]
            if not owner.queued:
                turns.popleft()
                continue
            turns.rotate(-1)
            item = owner.queued.popleft()
            entry = item[0]
            event = entry.event
            is_long = len(event.tag_keys) > LONG_TAGS
            address = None if entry.d is None else (event.pubkey, event.kind, entry.d)
            removes = entry.targets is not None or entry.vanishes
            if removes:
                concerns = event.pubkey in others or (entry.vanishes and event.pubkey in deleters)
                deleters.add(event.pubkey)
                if entry.vanishes:
                    others.add(event.pubkey)
            else:
                concerns = bool(deleters) and not deleters.isdisjoint(owners(event))
                others.add(event.pubkey)
                if event.kind in RECIPIENTS_OWN_KINDS:
                    others.update(owners(event))
            if (
                event.id in ids
                or concerns
                or (entry.vanishes and taken)
                or address in addresses
                or (taken and entry.origin != taken[0][0].origin)
                or (is_long and (taken or self._short_first))
                or (taken and tags + len(event.tag_keys) > MAX_BATCH_TAGS)
            ):
                later.append((owner, item))
                ids.add(event.id)  # what comes after it with this id or address must not overtake it
                if address is not None:
                    addresses.add(address)
                continue
            if address is not None:
                addresses.add(address)
            ids.add(event.id)
            taken.append(item)
            length = len(event.json)
            size += length
            owner.bytes -= length
            tags += len(event.tag_keys)
            if is_long or entry.vanishes:
                break
        if not taken and later:  # only long ones
            owner, item = later.pop(0)
            taken.append(item)
            size = len(item[0].event.json)
            owner.bytes -= size
        self._short_first = bool(taken) and len(taken[0][0].event.tag_keys) > LONG_TAGS
        self._put_back(later)
        self.bytes -= size
        self._len -= len(taken)
        return taken

    def _put_back(self, later: list[tuple[_Owner, Queued]]) -> None:
        """Return what was passed over to the head of its owner's events; forget owners without any."""
        for owner, item in reversed(later):
            owner.queued.appendleft(item)
        for name in [name for name, owner in self._owners.items() if not owner.queued]:
            del self._owners[name]
        turns = dict.fromkeys([*[owner for owner, _ in later], *self._turns])
        self._turns = deque([owner for owner in turns if owner.queued])
