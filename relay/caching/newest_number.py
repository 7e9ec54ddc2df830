"""The newest acknowledged number in the shared cache: one key of each epoch, only ever raised.

Rule: it is made anew only from the primary's number, under a token that was put into it before the primary was asked:
whatever takes the key away takes the token too, so a late writer cannot make an emptied cache say too little.
"""

import math
import secrets
from collections.abc import Callable
from time import time

from hiredis import ReplyError

from relay.caching.shared import Away, Reply, Script, Shared
from relay.protocol.errors import Failed
from relay.storage.log import newest
from relay.storage.reads import Reads

RAISES = 3
TOKEN_SECONDS = 60
"""A token that was forgotten in the key is swept away after so long."""

KEEP_SECONDS = 30 * 86_400
MAX_NUMBER = 2**53
"""A score is a double: what lies beyond is no number of the order, and nobody acknowledges anything by it."""

MEMBER = b"newest"
# A token is a member of the key itself, with the time as its score, made negative to tell it from a number.
_PUT_TOKEN = Script(
    b"""
    if redis.call('type', KEYS[1]).ok ~= 'zset' then redis.call('del', KEYS[1]) end
    redis.call('zremrangebyscore', KEYS[1], '(' .. (ARGV[2] + ARGV[3]), '(0')
    redis.call('zadd', KEYS[1], ARGV[2], ARGV[1])
    redis.call('expire', KEYS[1], ARGV[4])
    return 1
    """
)
_RAISE = Script(
    b"""
    if redis.call('type', KEYS[1]).ok ~= 'zset' or not redis.call('zscore', KEYS[1], ARGV[1]) then return 0 end
    local known = tonumber(redis.call('zscore', KEYS[1], 'newest') or 0)
    if not known or known > tonumber(ARGV[3]) then redis.call('del', KEYS[1]) return 0 end
    redis.call('zadd', KEYS[1], 'GT', ARGV[2], 'newest')
    redis.call('zrem', KEYS[1], ARGV[1])
    return 1
    """
)


class NewestNumber:
    """The key, and how far it is known to have come. `epoch` says which order the numbers belong to."""

    def __init__(self, shared: Shared | None, reads: Reads, epoch: Callable[[], int]) -> None:
        self.shared = shared
        self.stored = 0
        """Up to here the cache has said so much; whoever reads would notice if it said less since."""
        self.epoch = epoch
        self._reads = reads
        self._key: tuple[int, bytes] = (-1, b"")

    @property
    def key(self) -> bytes:
        """The key of this epoch."""
        epoch = self.epoch()
        if self._key[0] != epoch:
            self._key = (epoch, f"relay:1:{{barrier:{epoch}}}:newest".encode())
        return self._key[1]

    def is_stored(self, key: bytes, position: int) -> None:
        """The cache holds `position` under `key`: numbers of another epoch mean nothing in this one."""
        if key == self.key:
            self.stored = max(self.stored, position)

    async def make(self) -> int | None:
        """Raise the key to the primary's number, or make it; returns the number, None if that was not possible."""
        shared = self.shared
        if shared is None:
            return None
        key = self.key
        token = b"token " + secrets.token_hex(8).encode()
        try:
            for _ in range(RAISES):
                await shared.run_script(_PUT_TOKEN, [key], [token, -int(time()), TOKEN_SECONDS, KEEP_SECONDS])
                number = (await newest(self._reads)).position
                if await shared.run_script(_RAISE, [key], [token, number, MAX_NUMBER]) == 1:
                    self.is_stored(key, number)
                    return number
        except (Away, ReplyError, Failed):
            return None
        return None


def number_in(reply: Reply) -> int | None:
    """The number in a reply, None for anything else: no key, another type, an absent server, what counts no changes."""
    try:
        number = float(reply) if isinstance(reply, bytes | str | float | int) else math.nan
    except ValueError:
        return None
    return int(number) if 0 <= number <= MAX_NUMBER else None
