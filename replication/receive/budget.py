"""How much memory the requests of all peers may take in one worker at a time, bodies and what comes out of them."""

from collections.abc import Iterator
from contextlib import contextmanager

LIMIT_BYTES = 67_108_864


class Full(Exception):
    """too much is under way"""


class Budget:
    """`free` of `limit` bytes."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = self.free = limit

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Hold `size` bytes. Raises Full, unless nothing else is held."""
        if size > self.free and self.free < self.limit:
            raise Full
        self.free -= size
        try:
            yield
        finally:
            self.free += size
