"""One streaming replica of the primary: its connections and its health.

Rule: each answer names the store that it was read from, in its own snapshot, and one of another store, epoch or
generation is dropped. So a standby of another primary is never used, whatever stands at its address.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from relay.background import BackgroundTasks, Task, cancel
from relay.changes.lag import Lag
from relay.changes.ring import Ring
from relay.conf import ReplicaAddress
from relay.protocol.errors import Failed, RelayError
from relay.routers import health
from relay.storage.channel import integer
from relay.storage.filter_sql import POSITION, SHARED_COLUMNS
from relay.storage.lanes import Lanes
from relay.storage.query_cost import Cost
from relay.storage.replica_answer import MOST_BEHIND
from relay.storage.request import Parameter, Row, Shared
from relay.storage.server import Server
from relay.storage.store import Store

log = logging.getLogger("relay.storage")

CHECK_SECONDS = 0.5
"""Pause between two checks of a replica that answers; a failing one is checked ever more seldom."""

FIRST_PAUSE_SECONDS = 0.02

LONGEST_PAUSE_SECONDS = 5.0

CHECK_TIMEOUT_SECONDS = 1.5
"""A replica that does not answer a check within this time is out: 2 s after it has stopped, its connections are closed
and what was asked of it goes to the next server."""

STORE = "(SELECT s.identity || '.' || s.epoch || '.' || s.generation FROM relay_store AS s)"
"""`Store.name` in the snapshot of the statement, without relay_current_store(), which fails on a standby.

The generation is replicated too: it tells a standby of this primary from one of a copy of its data folder."""

CHECK = (
    f"SELECT {STORE}, {POSITION}, pg_is_in_recovery(), "
    "(SELECT s.database_oid = relay_database_oid() AND s.table_oid = s.tableoid "
    "AND s.system_identifier = coalesce(relay_system_identifier(), s.system_identifier) FROM relay_store AS s)"
)


class Foreign(Failed):
    """the replica belongs to another store"""


@dataclass(frozen=True, slots=True)
class Present:
    """What this process knows of the present. `ring`, `store`: as of now. `newest`: the newest change known to exist.

    `barrier` begins to ask for the position of everything acknowledged so far, None if that cannot be known; `reached`
    waits until this process has applied a position, False if that takes too long.
    """

    ring: Callable[[], Ring]
    store: Callable[[], Store]
    newest: Callable[[], int]
    barrier: Callable[[], "asyncio.Future[int | None]"]
    reached: Callable[[int], Awaitable[bool]]


class Replica:
    """One replica: the lanes of its queries, and what its last check said. `why`: why it is not used, "" if it is."""

    def __init__(self, address: ReplicaAddress, lanes: Lanes, check: Server, present: Present) -> None:
        self.address = address
        self.lanes = lanes
        self.why = "not checked yet"
        self.position = 0
        self.behind = 0
        """Changes that it lacked at its last check."""
        self.lag_seconds = 0.0
        self._check = check
        self._present = present
        self._lag = Lag()
        self._watching: Task | None = None

    def open(self, tasks: BackgroundTasks) -> None:
        """Begin to check it; it is connected to once it can be used. Needs a running loop."""
        self._check.open()
        self._watching = tasks.service(self._watch(), f"health of {self.address.alias}")

    async def close(self) -> None:
        """Close all connections; waiting queries fail."""
        await cancel([self._watching])
        await self._check.close()
        await self.lanes.close()

    @property
    def up(self) -> bool:
        """True if it answers and is a standby of the store that this process follows."""
        return not self.why

    @property
    def usable(self) -> bool:
        """True if it is up and near enough for the ring to bring its answers to the present."""
        return (
            not self.why
            and self.behind <= MOST_BEHIND
            and self.position >= self._present.ring().floor
            and self.lanes.quick.connected > 0
        )

    async def fetch(
        self, text: str, parameters: Sequence[Parameter], owner: str, cost: Cost, seconds: float, *, rest: str = ""
    ) -> tuple[int, list[Row]]:
        """The position and the rows of a statement that has one row or more, which begin with it (`Lanes.fetch`).

        `rest`: its text without SHARED_COLUMNS. Raises Foreign if they belong to another store than the one that this
        process follows now.
        """
        shared = Shared(rest.encode(), 1 + SHARED_COLUMNS) if rest else None
        named = f"SELECT {STORE}, q.* FROM ({text}) AS q"
        rows = await self.lanes.fetch(named, parameters, owner, cost, seconds, shared=shared)
        self.require(rows[0][0])
        position = integer(rows[0][1])
        self.position = max(self.position, position)
        return position, [row[1:] for row in rows]

    def require(self, name: bytes | None) -> None:
        """Raises Foreign unless `name` is that of the followed store."""
        if name != self._present.store().name.encode():
            raise Foreign

    # -- Health --------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        pause = CHECK_SECONDS
        while True:
            if not self._present.store().epoch:  # a process that starts does not know its store yet
                await asyncio.sleep(FIRST_PAUSE_SECONDS)
                continue
            await self.check()
            pause = CHECK_SECONDS if self.up else min(LONGEST_PAUSE_SECONDS, pause * 2)
            await asyncio.sleep(pause)

    async def check(self) -> None:
        """Ask it once, and begin or cease to use it."""
        try:
            await self._check.until_connected(CHECK_TIMEOUT_SECONDS)
            why = self._judged(await self._check.fetch(CHECK))
        except RelayError:
            why = "does not answer"
        newest = self._present.newest()
        self.behind = max(0, newest - self.position)
        self.lag_seconds = self._lag.add(asyncio.get_running_loop().time(), newest, self.position)
        before, self.why = self.why, why
        health.say(self.address.alias, not why and self.behind <= MOST_BEHIND)
        if before == why:
            return
        if why:
            log.warning("%s is not used: %s", self.address.alias, why)
            if not before:
                await self.lanes.close()
        else:
            log.info("%s is used", self.address.alias)
            self.lanes.open()

    def _judged(self, rows: Sequence[Row]) -> str:
        ((name, position, is_standby, is_whole),) = rows
        if is_standby != b"\x01":
            return "is no standby"
        if name != self._present.store().name.encode() or is_whole != b"\x01":
            self.position = 0
            return "belongs to another store"
        self.position = integer(position)
        return ""
