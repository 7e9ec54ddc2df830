"""Asks a relay for as many different things as there are keys: ids, filters and profiles that never were."""

import asyncio
import http.client
import random
from itertools import count as counting
from typing import Any

from tests.acceptance.relay_process import RelayProcess
from tests.benchmarks.asker import ask

Json = dict[str, Any]
IDS_AT_ONCE, FILTERS_AT_ONCE, PROFILES_AT_ONCE = 500, 20, 100
REQUESTS_OF_A_CONNECTION = 50
SHARES = {"ids": 0.6, "filters": 0.2, "profiles": 0.2}


async def ask_distinct(relay: RelayProcess, count: int) -> None:
    """Have the workers answer `count` keys, none of them twice."""
    rng = random.Random(31)

    def key() -> str:
        return f"{rng.getrandbits(256):064x}"

    def ids() -> tuple[str, list[Json]]:
        return "ids", [{"ids": [key() for _ in range(IDS_AT_ONCE)]}]

    def filters() -> tuple[str, list[Json]]:
        return "filters", [{"authors": [key()], "kinds": [1], "limit": 1} for _ in range(FILTERS_AT_ONCE)]

    for make, at_once, share in ((ids, IDS_AT_ONCE, "ids"), (filters, FILTERS_AT_ONCE, "filters")):
        queries = max(1, round(count * SHARES[share] / at_once))
        await ask(relay.ws_url, make, connections=8, queries=queries)
    requests = counting(1)
    total = max(1, round(count * SHARES["profiles"] / PROFILES_AT_ONCE))
    paths = ("/api/profiles?" + "&".join(f"pubkey={key()}" for _ in range(PROFILES_AT_ONCE)) for _ in requests)
    await asyncio.to_thread(_get_all, relay.port, [next(paths) for _ in range(total)])


def _get_all(port: int, paths: list[str]) -> None:
    """One after the other, on a new connection now and then: another worker may answer it."""
    for start in range(0, len(paths), REQUESTS_OF_A_CONNECTION):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for path in paths[start : start + REQUESTS_OF_A_CONNECTION]:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} for profiles")
        connection.close()
