"""A store filled with the costliest events that the limits allow: publishing, a killed worker, another start.

`python -m tests.benchmarks.worst_store [--events 500]`: one client publishes them, another one notes; the table has the
notes' waits for OK, the workers' memory, and how long they take to accept connections again.
"""

import argparse
import asyncio
import os
import random
import signal
import statistics
import string
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.acceptance.client import Client
from tests.acceptance.faults.workers import memory_megabytes
from tests.acceptance.relay_process import RelayProcess, wait_for
from tests.events import secret, sign_event

Json = dict[str, Any]

TAGS = 9_990
CONTENT = 131_072
IN_FLIGHT = 20
FILLED_SECONDS = 5.0
"""After a start the window is filled in the background."""


def many_tags(number: int) -> Json:
    """About 120 KB: short, distinct tags, each of which is indexed."""
    tags = [[string.ascii_letters[at % 52], f"{number * TAGS + at:x}"] for at in range(TAGS)]
    return sign_event(secret(1), tags=tags, created_at=int(time.time()), content=str(number))


def large_content(number: int) -> Json:
    """384 KB: characters of three bytes."""
    content = f"{number:06}".ljust(CONTENT, "\u20ac")
    return sign_event(secret(2), content=content, created_at=int(time.time()))


def mixed(number: int) -> Json:
    """One of both, or with some hundreds of tags and kilobytes."""
    if number % 3 < 2:
        return (many_tags, large_content)[number % 3](number)
    chance = random.Random(number)
    tags = [["t", f"{chance.getrandbits(64):x}"] for _ in range(chance.randrange(500))]
    return sign_event(secret(3), tags=tags, content="x" * chance.randrange(20_000), created_at=int(time.time()))


SHAPES = {"tags": many_tags, "content": large_content, "mixed": mixed}


async def publish(url: str, shape: str, count: int) -> None:
    """Publish `count` events of a shape from one connection, IN_FLIGHT at a time."""
    async with Client(url) as client:
        waiting: list[str] = []
        for number in range(count):
            event = await asyncio.to_thread(SHAPES[shape], number)
            await client.send("EVENT", event)
            waiting.append(event["id"])
            if len(waiting) >= IN_FLIGHT:
                await accepted(client, waiting.pop(0))
        for event_id in waiting:
            await accepted(client, event_id)


async def accepted(client: Client, event_id: str) -> None:
    """Wait for the OK of an event, which must be true."""
    answer = await client.receive(lambda message: message[:2] == ["OK", event_id], 60.0)
    assert answer[2], answer


async def notes_meanwhile(url: str, work: "asyncio.Future[None]") -> list[float]:
    """Publish notes one after the other until `work` is done; how long each waited for its OK, in seconds."""
    waits: list[float] = []
    async with Client(url) as client:
        while not work.done():
            note = sign_event(secret(4), content=str(len(waits)), created_at=int(time.time()))
            begin = time.perf_counter()
            assert (await client.publish(note)).accepted
            waits.append(time.perf_counter() - begin)
            await asyncio.sleep(0.02)
    return waits


async def fill(relay: RelayProcess, shape: str, count: int) -> list[float]:
    """Fill the store; returns the waits of notes that were published meanwhile."""
    filling = asyncio.ensure_future(publish(relay.ws_url, shape, count))
    waits = await notes_meanwhile(relay.ws_url, filling)
    await filling
    return waits


def kill_a_worker(relay: RelayProcess) -> float:
    """Kill one of the workers; the seconds until all accept connections again."""
    before = relay.workers()
    begin = time.monotonic()
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: len(set(relay.workers()) - set(before)) == 1, "another worker", 60)
    wait_for(lambda: relay.get("/ready")[0] == 200, "a ready relay", 60)
    return time.monotonic() - begin


def memory(relay: RelayProcess) -> Sequence[int]:
    """The memory of the workers in MB."""
    return [round(memory_megabytes(pid)) for pid in relay.workers()]


def measure(shape: str, count: int, folder: Path) -> None:
    """Fill, kill, start again; prints the figures."""
    relay = RelayProcess(folder, workers=2)
    relay.start()
    try:
        print(f"{shape}: memory of the workers at the start: {memory(relay)} MB")
        begin = time.monotonic()
        waits = asyncio.run(fill(relay, shape, count))
        print(f"{count} events in {time.monotonic() - begin:.1f} s, memory {memory(relay)} MB; notes meanwhile:")
        cuts = statistics.quantiles(waits, n=20) if len(waits) > 1 else waits * 19
        print(
            f"{len(waits)}, OK p50 {cuts[9] * 1e3:.0f} ms, p95 {cuts[18] * 1e3:.0f} ms, max {max(waits) * 1e3:.0f} ms"
        )
        print(f"a killed worker was back after {kill_a_worker(relay):.1f} s")
        time.sleep(FILLED_SECONDS)
        print(f"memory {memory(relay)} MB")
        relay.stop()
        begin = time.monotonic()
        relay.start()
        print(f"the next start took {time.monotonic() - begin:.1f} s")
        time.sleep(FILLED_SECONDS)
        print(f"memory {memory(relay)} MB", flush=True)
    finally:
        relay.destroy()


def main() -> None:
    """Measure all shapes, or the named ones."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.worst_store", description=__doc__)
    parser.add_argument("shapes", nargs="*", help=f"of {', '.join(SHAPES)}; all if none")
    parser.add_argument("--events", type=int, default=500)
    arguments = parser.parse_args()
    for shape in arguments.shapes or SHAPES:
        with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
            measure(shape, arguments.events, Path(folder) / "var")


if __name__ == "__main__":
    main()
