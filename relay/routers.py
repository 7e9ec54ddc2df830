"""Which database the ORM reads from: replicas in turn where a model allows it, else the primary. Writes and migrations
go to the primary.

Rule: what must read its own write is pinned to the primary. A replica is read while it is healthy (`health`) and at
most some 2,000 changes behind; `relay.storage.replica` says so in a worker, a check of its own elsewhere.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from time import monotonic
from typing import Any, Protocol, TypeVar

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from relay.conf import ReplicaAddress

PRIMARY = "default"

WATCHED_SECONDS = 10.0
"""How long a report of a worker's health task is valid; it reports at least as often."""

GOOD_SECONDS = 2.0
"""How long a check counts that found a replica healthy."""

BAD_SECONDS = 30.0
"""How long one counts that did not: it may take the 2 s of a connection attempt, and more if the server hangs."""

_pinned: ContextVar[bool] = ContextVar("pinned", default=False)


class Weighted(Protocol):
    """What is chosen among."""

    @property
    def address(self) -> ReplicaAddress:
        """Its weight and zone."""


T = TypeVar("T", bound=Weighted)


class Turns:
    """Smooth weighted round robin: of `sum of weights` turns a replica has `weight`, spread evenly.

    A replica of another zone has none while one of the own zone can be used.
    """

    def __init__(self, zone: str = "") -> None:
        """`zone`: the own one; "" if all are equally near."""
        self._zone = zone
        self._credits: dict[str, int] = {}

    def order(self, usable: Sequence[T]) -> list[T]:
        """Those of `usable` that may be asked now, the one whose turn it is first."""
        near = [each for each in usable if self._zone in {"", each.address.zone}] or list(usable)
        if len(near) < 2:
            return near
        saved = self._credits
        for each in near:
            saved[each.address.alias] = saved.get(each.address.alias, 0) + each.address.weight
        near.sort(key=lambda each: -saved[each.address.alias])
        saved[near[0].address.alias] -= sum(each.address.weight for each in near)
        return near


class Health:
    """Which replicas this process may read from. Threads may share it.

    `check` asks the replica of an alias now; `relay.apps` sets it.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.check: Callable[[str], bool] = lambda alias: False
        self._clock = clock
        self._said: dict[str, tuple[float, bool]] = {}

    def say(self, alias: str, usable: bool, seconds: float = WATCHED_SECONDS) -> None:
        """Note what was found, which counts for some seconds."""
        self._said[alias] = (self._clock() + seconds, usable)

    def is_usable(self, alias: str) -> bool:
        """What was said last, or else what a check finds."""
        until, usable = self._said.get(alias, (0.0, False))
        if self._clock() >= until:
            usable = self.check(alias)
            self.say(alias, usable, GOOD_SECONDS if usable else BAD_SECONDS)
        return usable


health = Health()
"""That of this process."""


@contextmanager
def pin_to_primary() -> Iterator[None]:
    """Within this block, or a function that it decorates, everything is read from the primary."""
    token = _pinned.set(True)
    try:
        yield
    finally:
        _pinned.reset(token)


class _Listed:
    __slots__ = ("address",)

    def __init__(self, address: ReplicaAddress) -> None:
        self.address = address


@cache
def _listed() -> tuple[Turns, list[_Listed]]:
    return Turns(settings.RELAY_ZONE), [_Listed(ReplicaAddress(*described)) for described in settings.REPLICAS]


def read_alias() -> str:
    """The database to read from now what a replica may answer: the next healthy replica, or the primary.

    The primary if the caller is pinned to it, or inside a transaction there, which must see its own writes.
    """
    turns, listed = _listed()
    if not listed or _pinned.get() or connections[PRIMARY].in_atomic_block:
        return PRIMARY
    usable = [each for each in listed if health.is_usable(each.address.alias)]
    return turns.order(usable)[0].address.alias if usable else PRIMARY


def read_connection() -> BaseDatabaseWrapper:
    """The connection of `read_alias`, for statements without a model."""
    return connections[read_alias()]


class PrimaryReplicaRouter:
    """Reads of models with `from_replicas` go to replicas in turn; everything else goes to the primary.

    Such models are those that only jobs and SQL functions write, so that no page reads back what it has saved: events,
    tags, the log, materialized views. Sessions, accounts, lists and schedules are read from the primary.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        """A replica, or the primary."""
        return read_alias() if getattr(model, "from_replicas", False) else PRIMARY

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        """The primary."""
        return PRIMARY

    def allow_relation(self, obj1: Model, obj2: Model, **hints: Any) -> bool:
        """Always: all of them are one database."""
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Only on the primary."""
        return db == PRIMARY
