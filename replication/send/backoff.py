"""When a request that had no answer is tried again. Pure."""

from collections.abc import Callable
from random import random
from typing import Final

TRIES: Final = 5
"""Then the peer is down, and asked for its state until it answers."""
FIRST_SECONDS: Final = 0.5
PROBE_SECONDS: Final = 5.0
"""A question for the state of a peer costs 600 bytes; after a cut a lane waits for up to so long, and its request."""


def is_down(attempts: int) -> bool:
    """True after `attempts` tries in a row without an answer: the peer counts as down."""
    return attempts >= TRIES


def seconds_after(attempts: int, chance: Callable[[], float] = random) -> float:
    """How long to wait after the try with this number, from 1 on: 0.5, 1, 2, 4 s, then PROBE_SECONDS, each between a
    half and the whole of it, so that many senders do not come back at once.
    """
    longest = PROBE_SECONDS if is_down(attempts) else FIRST_SECONDS * 2.0 ** (attempts - 1)
    return longest * (0.5 + chance() / 2)
