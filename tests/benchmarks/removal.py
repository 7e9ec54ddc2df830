"""Long lists are replaced while others publish notes: how long the others wait.

`python -m tests.benchmarks.removal [lists] [tags] [tags of the replacements]`. Writer A gets the lists, 200 at a time,
and notes of a client of its own; writer B, as another worker would, gets notes alone. An embedded PostgreSQL of its
own; commits are durable.
"""

import asyncio
import sys
import time
from typing import Any

from tests.benchmarks.storage import _server
from tests.events import NOW, pubkey_of, secret, unsigned_event

NOTE_SECONDS = 0.02
"""Between two notes of a client, counted from OK to EVENT."""


def _list(author: int, version: int, tags: int) -> dict[str, Any]:
    people = [["p", f"{author:032x}{person:032x}"] for person in range(tags)]
    return unsigned_event(kind=3, pubkey=pubkey_of(secret(author)), created_at=NOW + version, tags=people)


async def _publish(scribe: Any, name: str, done: asyncio.Event) -> list[float]:
    """Notes, one after the other, until `done`; seconds from each submission to its outcome."""
    waited: list[float] = []
    while not done.is_set():
        begun = time.perf_counter()
        await scribe.write(unsigned_event(content=f"{name} {len(waited)}"))
        waited.append(time.perf_counter() - begun)
        await asyncio.sleep(NOTE_SECONDS)
    return waited


async def _measure(lists: int, tags: int, new_tags: int) -> None:
    from tests.integration.storage.scribe import Scribe, entry

    a, b = Scribe(write_seconds=60), Scribe(write_seconds=60)
    a.writer.start()
    b.writer.start()
    for author in range(1, lists + 1):
        await a.write_entries([entry(_list(author, 0, tags))])
    replacements = [entry(_list(author, 1, new_tags)) for author in range(1, lists + 1)]
    done = asyncio.Event()
    others = [asyncio.ensure_future(_publish(s, name, done)) for s, name in ((a, "A"), (b, "B"))]
    await asyncio.sleep(0.5)
    begun = time.perf_counter()
    room = asyncio.Semaphore(200)  # of the writer's queue, which is bounded in bytes

    async def replace(replacement: Any) -> Any:
        async with room:
            return await a.submit(replacement)

    outcomes = await asyncio.gather(*[replace(replacement) for replacement in replacements])
    seconds = time.perf_counter() - begun
    done.set()
    print(f"{lists} lists of {tags} tags replaced by {new_tags} in {seconds:.1f} s: {set(outcomes)}")
    for name, waited in zip("AB", await asyncio.gather(*others), strict=True):
        waited.sort()
        p50, p95, worst = (1000 * waited[min(len(waited) - 1, len(waited) * share // 100)] for share in (50, 95, 100))
        print(f"notes of writer {name}: {len(waited)}, p50 {p50:.0f} ms, p95 {p95:.0f} ms, worst {worst:.0f} ms")
    await a.writer.stop(5)
    await b.writer.stop(5)


def main() -> None:
    lists, tags, *rest = [int(word) for word in sys.argv[1:]] or [500, 5_000]
    with _server():
        asyncio.run(_measure(lists, tags, *(rest or [tags])))


if __name__ == "__main__":
    main()
