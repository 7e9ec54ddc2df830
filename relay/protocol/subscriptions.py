"""The subscriptions of one connection and the legal changes to them (01-S04, 01-S05, 01-S07).

Rule: an answer may only be sent while `holds` says that its subscription is still the one that was opened.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

from relay.protocol.errors import RateLimited

T = TypeVar("T")


class Subscriptions(Generic[T]):
    """Open subscriptions by id. T is what the connection keeps for one; it is compared by identity."""

    __slots__ = ("_limit", "_open")

    def __init__(self, max_subscriptions: int) -> None:
        self._limit = max_subscriptions
        self._open: dict[str, T] = {}

    def open(self, subscription_id: str, subscription: T) -> T | None:
        """Open or replace; returns the replaced subscription, which must be stopped (01-S04).

        Raises RateLimited for a new id at the cap; nothing has changed then (01-S07).
        """
        replaced = self._open.get(subscription_id)
        if replaced is None and len(self._open) >= self._limit:
            raise RateLimited("too many subscriptions")
        self._open[subscription_id] = subscription
        return replaced

    def close(self, subscription_id: str) -> T | None:
        """End a subscription; returns it, or None for an unknown id, which is no error (01-S05)."""
        return self._open.pop(subscription_id, None)

    def clear(self) -> list[T]:
        """End all subscriptions; returns them, oldest first."""
        ended = list(self._open.values())
        self._open.clear()
        return ended

    def holds(self, subscription_id: str, subscription: T) -> bool:
        """True if the id is open with this very object, neither replaced nor closed since."""
        return self._open.get(subscription_id) is subscription

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._open))
