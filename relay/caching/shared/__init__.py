"""L2, the cache that all instances share: a lean asyncio client of one Valkey or Redis server, a Sentinel's master, or
a Cluster.

redis-py's asyncio client costs the event loop 150 to 250 us a command, as much as a query to PostgreSQL. This client
sends all commands of one turn of the loop in one write and matches replies in order. Rule: no call waits longer than
the time-out; while a server is slow or down, calls for its keys fail at once and all other keys are served.
"""

from relay.caching.shared.client import Shared
from relay.caching.shared.connection import Counters, Full, OnReply, Part, Reply, Unavailable
from relay.redis_url import Address, parse

__all__ = ["Address", "Counters", "Full", "OnReply", "Part", "Reply", "Shared", "Unavailable", "parse"]
