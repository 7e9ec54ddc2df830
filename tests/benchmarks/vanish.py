"""`python -m tests.benchmarks.vanish [--events N]`: a key with a million events vanishes beside ordinary clients.

Fills a store in which the key made two events of three, starts `serve` with two workers, and sends the request to
vanish. It kills the process of the jobs when a third of the events is removed, and the whole instance with SIGKILL at
two thirds. The table has the 95th percentiles of the clients' OK and EOSE while quiet and while events are removed,
and how long it took; the last lines say whether a query ever found an event of the key, and what is left.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess
from tests.benchmarks.bulk import Writer, load
from tests.benchmarks.filling import servers
from tests.events import pubkey_of, secret, sign_event
from tests.hostile.innocent import Waits, innocents, p95

EVENTS = 1_600_000
JOBS = "relayproject.runtime.jobs"
KEY = secret(1)
QUIET_SECONDS = 10.0
PATIENCE_SECONDS = 3_600.0
LEFT = "SELECT count(*) FROM relay_event WHERE pubkey = %s AND created_at <= %s"
PENDING = "SELECT coalesce((SELECT removed FROM relay_vanish_pending), -1)"


def say(what: str) -> None:
    """Progress, on standard error."""
    print(what, file=sys.stderr, flush=True)


def fill(folder: Path, count: int) -> None:
    """A store of two authors: of three events about two are the key's."""
    writer = Writer(count)
    writer.authors = [pubkey_of(KEY), pubkey_of(secret(2))]
    with servers(folder):
        load(folder, writer, say)


def ask(relay: RelayProcess, query: str, *parameters: Any) -> int:
    """One number of the store."""
    with psycopg.connect(relay.services()["DATABASE_URL"], autocommit=True) as database:
        row = database.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return int(row[0])


async def found(relay: RelayProcess, filters: Sequence[dict[str, Any]]) -> int:
    """How many events a client is sent for the filters."""
    async with Client(relay.ws_url) as client:
        return len((await client.request("found", *filters)).events)


async def removed_to(relay: RelayProcess, goal: int) -> float:
    """Wait until so many events are removed, or all; the seconds it took."""
    begin = time.monotonic()
    while time.monotonic() < begin + PATIENCE_SECONDS:
        done = await asyncio.to_thread(ask, relay, PENDING)
        if done < 0 or done >= goal:
            return time.monotonic() - begin
        await asyncio.sleep(0.5)
    raise TimeoutError(f"{goal} events were not removed")


async def measure(relay: RelayProcess, folder: Path) -> None:
    """Send the request, kill what works on it, and print the table."""
    upto = int(time.time())
    mine = (bytes.fromhex(pubkey_of(KEY)), upto)
    total = await asyncio.to_thread(ask, relay, LEFT, *mine)
    own = {"authors": [pubkey_of(KEY)], "limit": 500}
    query = [own, {**own, "kinds": [7], "until": upto - 10**6}]
    print(
        "| phase | seconds | events a second | OK p95, ms | EOSE p95, ms | late or failed |\n|---|---|---|---|---|---|"
    )

    async def phase(name: str, goal: int | None, before: int) -> None:
        async with innocents(relay.port) as waits:
            if goal is None:
                await asyncio.sleep(QUIET_SECONDS)
                seconds, rate = QUIET_SECONDS, 0.0
            else:
                seconds = await removed_to(relay, goal)
                rate = (min(goal, total) - before) / max(seconds, 0.001)
        row(name, seconds, rate, waits)

    def row(name: str, seconds: float, rate: float, waits: Waits) -> None:
        ok, eose = p95(waits.ok) * 1_000, p95(waits.req) * 1_000
        print(f"| {name} | {seconds:.0f} | {rate:,.0f} | {ok:.1f} | {eose:.1f} | {len(waits.late)} |", flush=True)

    await phase("quiet", None, 0)
    request = sign_event(KEY, kind=62, created_at=upto, tags=[["relay", "ALL_RELAYS"]], content="")
    async with Client(relay.ws_url) as client:
        begin = time.perf_counter()
        await client.send("EVENT", request)
        answer = await client.receive(lambda message: message[:2] == ["OK", request["id"]], 30.0)
        took = time.perf_counter() - begin
    seen = [await found(relay, query)]
    await phase("removing, from the start", total // 3, 0)
    for pid in relay.pids(JOBS):
        os.kill(pid, signal.SIGKILL)
    seen.append(await found(relay, query))
    await phase("the jobs' process killed", 2 * total // 3, total // 3)
    for pid in relay.pids():
        with contextlib.suppress(ProcessLookupError):  # one that ended with another
            os.kill(pid, signal.SIGKILL)
    relay.destroy()
    relay = RelayProcess(folder, workers=2)
    await asyncio.to_thread(relay.start)
    try:
        seen.append(await found(relay, query))
        await phase("the instance killed and started again", 10**12, 2 * total // 3)
        seen.append(await found(relay, query))
        left = await asyncio.to_thread(ask, relay, LEFT, *mine)
        print(f"\n{total:,} events of the key; OK of the request {answer[2]} after {took * 1_000:.0f} ms")
        print(f"queries found {seen} of them; {left} are left")
    finally:
        relay.destroy()


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.vanish", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "var", given.events)
        relay = RelayProcess(Path(folder) / "var", workers=2)
        try:
            relay.start()
            asyncio.run(measure(relay, Path(folder) / "var"))
        finally:
            relay.destroy()


if __name__ == "__main__":
    main()
