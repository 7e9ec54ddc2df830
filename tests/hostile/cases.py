"""The attacks by name, each with a small size for the tests and a full one for the benchmark.

`python -m tests.hostile.cases NAME small|full PORT` runs one and prints what the attacker was told, as JSON. It is a
process of its own, so that its work does not stand in the figures of the innocent clients.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.hostile import frames, reads, writes
from tests.hostile.wire import Target, Told

Attack = Callable[[Target, Told, int], Awaitable[None]]

LIMIT_SECONDS = {"small": 15.0, "full": 120.0}
"""An attack is ended after this time, whatever it waits for."""
HOLD_SECONDS = {"small": 0.5, "full": 5.0}


@dataclass(frozen=True, slots=True)
class Case:
    """An attack; what its sizes count is in its docstring. copies: whether the relay keeps some, or asks PostgreSQL
    everything.
    """

    attack: Attack
    small: int
    full: int
    copies: bool = True


CASES = {
    case.attack.__name__: case
    for case in (
        Case(writes.many_tags, 6, 500),
        Case(reads.filters_of_other_times, 2, 80),
        Case(reads.filters_under_popular_values, 1, 40),
        Case(reads.large_answers, 12, 400),
        Case(reads.large_answers_unread, 12, 400),
        Case(reads.unread_subscriptions, 10, 80),
        Case(reads.many_values, 3, 40),
        Case(reads.ten_thousand_hashtags, 3, 100),
        Case(reads.costly_reads, 20, 1_500, copies=False),
        Case(reads.variations, 1, 20),
        Case(reads.replaced_requests, 500, 20_000, copies=False),
        Case(reads.requests_and_closes, 500, 20_000),
        Case(writes.requests_behind_events, 2_000, 60_000),
        Case(writes.pending_events, 300, 10_000),
        Case(writes.bad_signatures, 300, 10_000),
        Case(writes.ephemerals, 30, 500),
        Case(writes.same_event, 5, 100),
        Case(writes.new_versions, 100, 3_000),
        Case(writes.wide_deletions, 2, 100),
        Case(writes.deep_tags, 2, 50),
        Case(writes.deep_json, 5, 200),
        Case(frames.pings, 4_000, 200_000),
        Case(frames.unread_pings, 4_000, 200_000),
        Case(frames.one_byte_fragments, 10_000, 1_000_000),
        Case(frames.unfinished_messages, 50, 1_000),
        Case(frames.garbage, 200, 10_000),
        Case(frames.handshakes, 200, 5_000),
        Case(frames.forged_addresses, 240, 1_000),
        Case(frames.half_requests, 300, 2_600),
        Case(frames.large_bodies, 2, 100),
        Case(frames.sign_ins, 8, 60),
        Case(frames.session_cookies, 60, 300),
        Case(frames.public_pages, 100, 5_000),
    )
}


async def attack(name: str, size: str, port: int) -> Told:
    """Run one attack; what the attacker was told."""
    told, case = Told(), CASES[name]
    try:
        async with asyncio.timeout(LIMIT_SECONDS[size]):
            await case.attack(
                Target(port, hold_seconds=HOLD_SECONDS[size]), told, case.small if size == "small" else case.full
            )
    except TimeoutError:
        told["not done in time"] += 1
    except (OSError, EOFError) as error:
        told[type(error).__name__] += 1
    return told


def main() -> None:
    """Run the attack that the arguments name."""
    name, size, port = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(asyncio.run(attack(name, size, int(port)))))


if __name__ == "__main__":
    main()
