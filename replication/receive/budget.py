"""How much memory the requests of all peers may take in one worker at a time, bodies and what is decoded from them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT_BYTES = 67_108_864
SHARE = 0.75
"""Of one peer: one that sends its bodies slowly leaves room for the others."""


class Full(Exception):
    """too much is under way"""


class Budget:
    """`free` of `limit` bytes."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = self.free = limit
        self._held = Counter[str]()

    @contextmanager
    def held(self, peer: str, size: int) -> Iterator[None]:
        """Hold `size` bytes for a peer. Raises Full, unless the peer holds nothing else and there is room, or no
        peer holds anything.
        """
        if size > self.free and self.free < self.limit:
            raise Full
        if self._held[peer] and self._held[peer] + size > self.limit * SHARE:
            raise Full
        self.free -= size
        self._held[peer] += size
        try:
            yield
        finally:
            self.free += size
            self._held[peer] -= size
            if not self._held[peer]:
                del self._held[peer]
