"""L2, shared by all instances: a lean client of Valkey or Redis, as one server, behind Sentinel, or as a Cluster.

redis-py's asyncio client costs the loop 150 to 250 us a command, which is as much as PostgreSQL's answer; this one puts
all commands of one turn of the loop into one write and matches replies in order. Rule: nobody waits longer than the
patience; a server that is slow or gone is passed by at once and for as long as it takes, and only its keys are.
"""

from relay.caching.redis_url import Address, parse
from relay.caching.shared.client import Shared
from relay.caching.shared.connection import Counters, Full, OnReply, Part, Reply, Unavailable

__all__ = ["Address", "Counters", "Full", "OnReply", "Part", "Reply", "Shared", "Unavailable", "parse"]
