"""How long a copy lives in the shared cache: an hour, spread so that what was written together does not go together."""

import random
import time

TTL_SECONDS = 3_600.0
SPREAD = 0.1


def ttl_seconds(expires_at: int | None = None) -> float:
    """Seconds to live; never past `expires_at` (Unix seconds), when the first event of the copy expires."""
    seconds = TTL_SECONDS * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 - no secret
    return seconds if expires_at is None else max(0.001, min(seconds, expires_at - time.time()))
