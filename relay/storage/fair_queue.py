"""A queue that serves its owners in turn, each by the cost of what it asked: self-clocked fair queueing.

Every owner has an account in milliseconds of the database. What waits first in an account has a tag, the sum of what
the account was charged and its own cost; the lowest tag is served next, and its tag is the queue's clock. An owner that
comes back begins at the clock, so a cheap statement of a new owner goes before the tenth of another one. Rule: pure; no
owner waits longer than it takes to serve the costs of all others once, plus MAX_DEBT each.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

from msgspec import Struct

from relay.protocol.errors import Failed, RateLimited

T = TypeVar("T")

INTERNAL = ""
"""The owner of the relay's own questions: it has its turns like the others, and no bound of its own."""

MAX_DEBT = 1_000.0
"""Milliseconds by which an account may be ahead of the clock: what an owner took while the queue was empty is held
against it up to here."""

KEPT_ACCOUNTS = 4_096
"""With more accounts, those of owners that ask nothing now are dropped, and again when the number has doubled: the
cost of looking through them is proportional to it.
"""


class Bounds(Struct, frozen=True):
    """What may wait, in statements and in bytes of texts and parameters: in all, and of one owner."""

    statements: int = 10_000
    bytes: int = 67_108_864
    owner_statements: int = 500
    owner_bytes: int = 16_777_216

    @classmethod
    def of(cls, statements: int, size: int, owner_statements: int) -> "Bounds":
        """One owner may fill a quarter of the bytes."""
        return cls(statements, size, owner_statements, size // 4)


class Ticket(Generic[T]):
    """A place in the queue. `cost` is in milliseconds, `size` in bytes."""

    __slots__ = ("cost", "item", "owner", "size")

    def __init__(self, owner: str, cost: float, size: int, item: T) -> None:
        self.owner = owner
        self.cost = cost
        self.size = size
        self.item = item


class _Account(Generic[T]):
    __slots__ = ("bytes", "charged", "is_listed", "owner", "running", "tag", "waiting")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.charged = 0.0
        self.tag = 0.0
        self.bytes = 0
        self.running = 0
        self.waiting: dict[Ticket[T], None] = {}
        self.is_listed = False


class FairQueue(Generic[T]):
    """What waits for a place, and who holds places; `len` and `bytes` are of what waits."""

    def __init__(self, bounds: Bounds, places: int) -> None:
        """`places`: how many one owner holds at most, INTERNAL excepted."""
        self.bytes = 0
        self.refused = 0
        self._bounds = bounds
        self._places = places
        self._len = 0
        self._clock = 0.0
        self._accounts: dict[str, _Account[T]] = {}
        self._most_accounts = KEPT_ACCOUNTS
        self._next: list[tuple[float, int, _Account[T]]] = []
        self._order = count()

    def __len__(self) -> int:
        return self._len

    def set_places(self, places: int) -> None:
        """Change the number of places that one owner may hold."""
        grows, self._places = places > self._places, places
        if grows:
            for account in self._accounts.values():
                self._list(account)

    def begin(self, owner: str, cost: float) -> bool:
        """Take a free place at once, past the queue: True if no query is to be served first, and `owner` may hold
        another place.
        """
        if self._next:
            return False
        account = self._accounts.get(owner) or self._account(owner)
        if account.waiting or (account.running >= self._places and owner != INTERNAL):
            return False
        account.running += 1
        self._charge(account, cost)
        return True

    def add(self, owner: str, cost: float, size: int, item: T, *, is_accepted: bool = False) -> Ticket[T]:
        """Append to what waits of `owner`. Raises RateLimited if that is too much and it is not `is_accepted` already,
        Failed if the queue is full.
        """
        account, bounds = self._account(owner), self._bounds
        if self._len >= bounds.statements or self.bytes + size > bounds.bytes:
            self.refused += 1
            raise Failed("too many queries wait for the database, try again")
        is_bounded = owner != INTERNAL and not is_accepted
        if is_bounded and (
            len(account.waiting) >= bounds.owner_statements or account.bytes + size > bounds.owner_bytes
        ):
            self.refused += 1
            raise RateLimited("too many of your queries wait for the database")
        ticket = Ticket(owner, cost, size, item)
        account.waiting[ticket] = None
        account.bytes += size
        self.bytes += size
        self._len += 1
        self._list(account)
        return ticket

    def remove(self, ticket: Ticket[T]) -> None:
        """Forget a query that is not wanted any more; no error if it has left the queue."""
        account = self._accounts.get(ticket.owner)
        if account is not None and ticket in account.waiting:
            self._leave(account, ticket)

    def take(self) -> T | None:
        """The next one, whose owner holds a place from now on; None if nothing waits that may be served."""
        while self._next:
            tag, _, account = heappop(self._next)
            account.is_listed = False
            if not account.waiting or self._is_full(account):
                continue  # `end` lists it again
            if account.tag > tag:  # charged meanwhile
                account.is_listed = True
                heappush(self._next, (account.tag, next(self._order), account))
                continue
            ticket = next(iter(account.waiting))
            self._leave(account, ticket)
            self._clock = max(self._clock, tag)
            account.charged = tag
            account.running += 1
            self._list(account)
            return ticket.item
        return None

    def end(self, owner: str, more: float) -> None:
        """Give a place back, and charge what it took beyond its cost (below zero: less than that)."""
        account = self._account(owner)
        account.running -= 1
        self._charge(account, more)
        if account.waiting:
            self._list(account)

    def others_wait(self, owner: str) -> bool:
        """True if another owner than this one waits."""
        account = self._accounts.get(owner)
        return self._len > (len(account.waiting) if account is not None else 0)

    def clear(self) -> Iterator[T]:
        """Take all that waits, without places."""
        for account in self._accounts.values():
            for ticket in list(account.waiting):
                self._leave(account, ticket)
                yield ticket.item

    def _account(self, owner: str) -> _Account[T]:
        account = self._accounts.get(owner)
        if account is None:
            if len(self._accounts) >= self._most_accounts:
                self._accounts = {o: a for o, a in self._accounts.items() if a.waiting or a.running}
                self._most_accounts = max(KEPT_ACCOUNTS, 2 * len(self._accounts))
            account = self._accounts[owner] = _Account(owner)
        return account

    def _is_full(self, account: _Account[T]) -> bool:
        return account.running >= self._places and account.owner != INTERNAL

    def _list(self, account: _Account[T]) -> None:
        """Give what waits first in the account its tag."""
        if account.waiting and not account.is_listed and not self._is_full(account):
            account.tag = max(self._clock, account.charged) + next(iter(account.waiting)).cost
            account.is_listed = True
            heappush(self._next, (account.tag, next(self._order), account))

    def _charge(self, account: _Account[T], cost: float) -> None:
        clock = self._clock  # compared by hand: on the path of every query
        charged = account.charged
        charged = (charged if charged > clock else clock) + cost
        if charged < clock:
            charged = clock
        elif charged > clock + MAX_DEBT:
            charged = clock + MAX_DEBT
        account.charged = charged
        if account.is_listed and cost > 0:
            account.tag = min(account.tag + cost, max(account.tag, self._clock + MAX_DEBT))

    def _leave(self, account: _Account[T], ticket: Ticket[T]) -> None:
        del account.waiting[ticket]
        account.bytes -= ticket.size
        self.bytes -= ticket.size
        self._len -= 1
