"""The nonces of the requests that were taken: each is good for one request.

All workers of all instances share them in the shared cache. While that is away a worker knows its own alone: a request
that was overheard could be repeated at another worker within a minute, which adds nothing, since its events are known.
"""

import time
from collections.abc import Callable

from hiredis import ReplyError

from relay.caching.shared import Shared, Unavailable
from replication.wire import NONCE_SECONDS

MAX_NONCES = 50_000
"""Of one peer and NONCE_SECONDS, in one worker: 10 MB, 400 requests a second. Further ones are refused, so that a peer
that sends without end leaves room for the others.
"""


class Nonces:
    """Knows each nonce for NONCE_SECONDS at least."""

    def __init__(self, shared: Shared | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._clock = clock
        self._newer: dict[str, set[str]] = {}
        self._older: dict[str, set[str]] = {}
        self._since = clock()

    def __len__(self) -> int:
        return sum(map(len, (*self._newer.values(), *self._older.values())))

    async def is_new(self, store: str, sender: str, nonce: str) -> bool:
        """Note a nonce; False if it was noted before, or if there is no room. `store` is the store's identity."""
        if not self._add(sender, nonce):
            return False
        if self._shared is None:
            return True
        key = f"relay:{store}:nonce:{sender}:{nonce}".encode()
        try:
            reply = await self._shared.call(key, b"SET", key, b"1", b"NX", b"EX", NONCE_SECONDS)
        except (Unavailable, ReplyError):
            return True
        return reply is not None

    def _add(self, sender: str, nonce: str) -> bool:
        now = self._clock()
        if now - self._since > NONCE_SECONDS:
            long_ago = now - self._since > 2 * NONCE_SECONDS
            self._older, self._newer, self._since = {} if long_ago else self._newer, {}, now
        noted = self._newer.setdefault(sender, set())
        if nonce in noted or nonce in self._older.get(sender, ()) or len(noted) >= MAX_NONCES:
            return False
        noted.add(nonce)
        return True
