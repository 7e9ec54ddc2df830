"""A naive model of the script of relay.caching.shared_buckets, and a cache whose answers come when a test says so."""

import math
from collections.abc import Callable
from typing import Any

from relay.caching.shared import Unavailable


class Levels:
    """The levels of buckets: name to (tokens taken, when). `now` in seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.levels: dict[bytes, tuple[float, float]] = {}

    def run(self, key: bytes, rate: float, burst: int, charged: int, wanted: int) -> list[int]:
        taken, at = self.levels.pop(key, (0.0, self.now))
        taken = max(0.0, taken - max(0.0, self.now - at) * rate)
        taken = min(taken + charged, 2 * burst)
        granted = max(0, min(wanted, math.floor(burst - taken)))
        if taken + granted > 0:
            self.levels[key] = taken + granted, self.now
        return [granted, int(taken + granted == 0)]


class SlowCache:
    """Stands for `Shared`: a command waits until `answer` runs it."""

    def __init__(self, levels: Levels) -> None:
        self.levels = levels
        self.up = True
        self.waiting: list[tuple[tuple[Any, ...], Callable[[Any], None]]] = []

    def send(self, key: bytes, parts: tuple[Any, ...], on_reply: Callable[[Any], None]) -> None:
        self.waiting.append((parts, on_reply))

    def answer(self, *, is_lost: bool = False) -> None:
        """Run the oldest command; `is_lost`: its answer does not come."""
        if not self.waiting:
            return
        (_, _, _, key, rate, burst, charged, wanted), on_reply = self.waiting.pop(0)
        if self.up:
            reply: Any = self.levels.run(key, float(rate), burst, charged, wanted)
        on_reply(reply if self.up and not is_lost else Unavailable("away"))

    def answer_all(self) -> None:
        while self.waiting:
            self.answer()
