"""The figures of several servers as one: what waits, what is connected, what failed."""

from collections.abc import Sequence

from relay.storage.lanes import Lanes
from relay.storage.server import Server


class ServerSums:
    """Sums over `servers`."""

    @property
    def servers(self) -> Sequence[Lanes]:
        """The servers that are counted."""
        raise NotImplementedError

    @property
    def failures(self) -> int:
        """Queries that a server did not answer."""
        return sum(server.failures for server in self.servers)

    @property
    def quick(self) -> list[Server]:
        """The lanes of small and of quick queries of each server."""
        return [lane for server in self.servers for lane in server.ordinary]

    @property
    def slow(self) -> list[Server]:
        """The lane of expensive queries of each server."""
        return [server.slow for server in self.servers]

    @property
    def asked_again(self) -> int:
        """Queries that took too long for the quick lane."""
        return sum(server.asked_again for server in self.servers)

    @property
    def connected(self) -> int:
        """Connections for quick queries that can be used now."""
        return sum(server.connected for server in self.quick)

    @property
    def waiting(self) -> int:
        """Queries waiting for a connection."""
        return sum(server.waiting for server in (*self.quick, *self.slow))

    @property
    def waiting_bytes(self) -> int:
        """Bytes of their texts and parameters."""
        return sum(server.waiting_bytes for server in (*self.quick, *self.slow))

    @property
    def refused(self) -> int:
        """Queries refused because too many waited."""
        return sum(server.refused for server in (*self.quick, *self.slow))

    @property
    def cancelled(self) -> int:
        """Expensive queries ended at PostgreSQL: no client waited for them any more, or their turn was over."""
        return sum(server.cancelled for server in self.slow)
