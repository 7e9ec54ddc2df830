"""The relay workers of one `serve`: each has a place with listening sockets of its own (SO_REUSEPORT).

Rule: the supervisor holds the sockets, so that a process which is replaced in order leaves them to the next one with
all connections that wait in them. When one dies its place gets new sockets: in the old ones clients would wait for
seconds for the next process, and with new ones other workers and other instances have them at once.

Two processes of a place never run under one number: it names a slot of the table of acknowledged positions, and the
files of metrics. With four workers the first is 1, its successor 5, the next one 1 again.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relay.freshness import ack_table
from relay.transport.listener import listening_sockets
from relayproject import settings
from relayproject.runtime.child import Child
from relayproject.runtime.errors import StartupError
from relayproject.runtime.handover import LeftChild, LeftPlace


@dataclass(slots=True)
class Place:
    """`number` is that of the process which has it now. `is_replaced`: while its successor starts."""

    number: int
    listeners: list[socket.socket]
    is_replaced: bool = False
    child: Child = field(init=False)


class WebWorkers:
    """`keep` has the supervisor run a child. `table`: descriptor of the acknowledged positions, -1: a new one."""

    def __init__(self, environment: Mapping[str, str], keep: Callable[[Child], None], table: int = -1) -> None:
        self.table = table if table >= 0 else ack_table.make(2 * settings.RELAY_WORKERS)
        self._environment = environment
        self._keep = keep
        self._places: list[Place] = []

    async def start(self) -> None:
        """Start all and wait until they accept connections. Raises StartupError."""
        for number in range(1, settings.RELAY_WORKERS + 1):
            self._take(Place(number, _listeners()))
        for place in self._places:
            await self._until_ready(place.child)

    def inherit(self, places: list[LeftPlace]) -> None:
        """Go on with the workers of an earlier program; those that did not run are started."""
        for left in places:
            place = Place(left.number, [socket.socket(fileno=number) for number in left.listeners])
            self._take(place, left.child)

    def left(self) -> list[LeftPlace]:
        """What to leave to a later program."""
        return [
            LeftPlace(place.number, [each.fileno() for each in place.listeners], place.child.left())
            for place in self._places
        ]

    async def replace(self, old: list[Child], tell: Callable[[str], None]) -> None:
        """Start a new process in each place, one after the other, and put into `old` those to be stopped, which accept
        no more. Raises StartupError if one does not start, which is then in `old`.

        Clients are not closed before all are replaced, or many would meet a process that is to be replaced next.
        """
        for at, place in enumerate(self._places, 1):
            tell(f"starting worker {at} of {len(self._places)}")
            successor = self._child(self._number_after(place.number), place)
            self._keep(successor)
            old.append(successor)
            place.is_replaced = True
            try:
                await self._until_ready(successor)
            finally:
                place.is_replaced = False
            old[-1] = place.child
            place.child.retire()
            place.number, place.child = self._number_after(place.number), successor

    def close_listeners(self) -> None:
        """The workers alone have the sockets from now on: when they close them, connections are refused."""
        for place in self._places:
            _close(place.listeners)

    def _take(self, place: Place, left: LeftChild | None = None) -> None:
        place.child = self._child(place.number, place)
        if left is not None:
            place.child.inherit(left.pid, left.pipe)
        self._places.append(place)
        self._keep(place.child)

    def _number_after(self, number: int) -> int:
        return number + settings.RELAY_WORKERS * (1 if number <= settings.RELAY_WORKERS else -1)

    def _child(self, number: int, place: Place) -> Child:
        descriptors = [each.fileno() for each in place.listeners]
        return Child(
            f"relay worker {number}",
            "relayproject.runtime.worker",
            {
                **self._environment,
                "RELAY_WORKER": str(number),
                "RELAY_PROCESS": f"worker-{number}",
                "RELAY_ACK_TABLE": str(self.table),
                "RELAY_LISTENERS": ",".join(map(str, descriptors)),
            },
            settings.RELAY_HEARTBEAT_SECONDS,
            on_end=lambda child: self._ended(child, place),
            descriptors=(self.table, *descriptors),
        )

    async def _until_ready(self, child: Child) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (child.ready, child.given_up)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not child.ready.is_set():
            raise StartupError("A relay worker does not start; its output is above.")

    def _ended(self, child: Child, place: Place) -> None:
        # Of a successor: its predecessor accepts from these sockets. Of a predecessor: the successor is about to.
        if child is not place.child or place.is_replaced:
            return
        with contextlib.suppress(OSError):
            fresh = _listeners()
            _close(place.listeners)
            place.listeners = fresh
            renewed = self._child(place.number, place)
            child.environment, child.descriptors = renewed.environment, renewed.descriptors


def _listeners() -> list[socket.socket]:
    return listening_sockets(settings.RELAY_HOST, settings.RELAY_PORT)


def _close(listeners: list[socket.socket]) -> None:
    for each in listeners:
        each.close()
