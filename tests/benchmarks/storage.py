"""The database's share: the writer and the eight query shapes, on an embedded PostgreSQL of the benchmark's own.

The yardsticks are plain SQL through psycopg on the same server in the same run.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from tests.benchmarks.figure import Figure, paired
from tests.events import secret, sign_event

EVENTS = 20_000
AUTHORS = 1_000
QUERIES = 60
WORDS = "nostr relay zap note gm bitcoin sat client event plebs coffee sunrise key sign hash block".split()  # noqa: SIM905


@contextmanager
def _server() -> Iterator[None]:
    """PostgreSQL and Valkey in a folder that goes away, with Django set up on them and the tables made."""
    from relayproject.runtime.datafolder import DataFolder
    from relayproject.runtime.embedded_servers import EmbeddedServers

    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        data = DataFolder(Path(folder))
        data.take()
        services = EmbeddedServers(data, postgres=True, valkey=True)
        services.start()
        try:
            os.environ.update(services.addresses, RELAY_DATA_DIR=folder, SECRET_KEY="for benchmarks alone" * 4)
            os.environ["DJANGO_SETTINGS_MODULE"] = "relayproject.settings"
            import django
            from django.core.management import call_command

            django.setup()
            call_command("migrate", verbosity=0)
            yield
        finally:
            services.stop()
            data.release()


def _events(count: int) -> list[dict[str, Any]]:
    """Notes and reactions of Zipf-distributed authors over 30 days, with replies and hashtags; always the same."""
    rng = random.Random(4)
    weights = [1 / (rank + 1) ** 0.8 for rank in range(AUTHORS)]
    now = int(time.time()) - 60
    made: list[dict[str, Any]] = []
    for _ in range(count):
        kind = rng.choices((1, 7, 6, 1111), (50, 35, 10, 5))[0]
        tags = []
        if made and (kind != 1 or rng.random() < 0.5):
            back = made[-min(len(made), int(rng.paretovariate(0.7)))]
            tags += [["e", back["id"]], ["p", back["pubkey"]]]
        if rng.random() < 0.2:
            tags.append(["t", rng.choice(WORDS)])
        content = "+" if kind == 7 else " ".join(rng.choices(WORDS, k=rng.randint(5, 60)))
        author = secret(rng.choices(range(1, AUTHORS + 1), weights)[0])
        created_at = now - rng.randrange(30 * 86_400)
        made.append(sign_event(author, kind=kind, content=content, tags=tags, created_at=created_at))
    return made


def shapes(events: Sequence[dict[str, Any]], seed: int) -> dict[str, Callable[[], dict[str, Any]]]:
    """The eight filters that real clients use, each with other values at every call."""
    rng = random.Random(seed)
    ids = [event["id"] for event in events]
    authors = list(dict.fromkeys(event["pubkey"] for event in events))
    newest = max(event["created_at"] for event in events)
    named = {name: [tag[1] for event in events for tag in event["tags"] if tag[0] == name] for name in "ept"}
    return {
        "one id": lambda: {"ids": [rng.choice(ids)]},
        "20 ids": lambda: {"ids": rng.sample(ids, 20)},
        "author notes": lambda: {"authors": [rng.choice(authors)], "kinds": [1], "limit": 50},
        "home feed": lambda: {"authors": rng.sample(authors, 300), "kinds": [1, 6], "limit": 100},
        "global": lambda: {"kinds": [1], "limit": 100, "until": newest - rng.randrange(20 * 86_400)},
        "thread": lambda: {"#e": [rng.choice(named["e"])], "kinds": [1, 6, 7, 9735], "limit": 100},
        "mentions": lambda: {"#p": [rng.choice(named["p"])], "kinds": [1, 7, 9735], "limit": 50},
        "hashtag": lambda: {"#t": [rng.choice(named["t"])], "limit": 100},
    }


def measure() -> list[Figure]:
    """The writer in events, each shape in queries, one after the other on one connection."""
    with _server():
        return uvloop.run(_measure())


async def _measure() -> list[Figure]:

    events = _events(EVENTS)
    return [*await _writer(events), *await _queries(events)]


def _run(loop: asyncio.AbstractEventLoop, work: Callable[[], Awaitable[int]]) -> int:
    return asyncio.run_coroutine_threadsafe(_awaited(work), loop).result()


async def _awaited(work: Callable[[], Awaitable[int]]) -> int:
    return await work()


async def _writer(events: Sequence[dict[str, Any]]) -> list[Figure]:
    from relay.protocol.event import Event, StoredEvent
    from relay.storage.batch import Entry
    from relay.storage.database import connect
    from relay.storage.write_result import WriteOutcome
    from relay.storage.writer import Writer

    writer = Writer(lambda batch: None, batch_events=500, queue_events=100_000, write_seconds=30)
    writer.start()
    plain = await connect(application="benchmark", statement_seconds=30)
    await plain.execute(b"CREATE TABLE plain (id bytea PRIMARY KEY, json text)")
    entries = iter([Entry(StoredEvent.of(Event(**event)), None) for event in events])
    numbers = iter(range(1 << 60))

    async def ours() -> int:
        done = asyncio.get_running_loop().create_future()
        left = 2_000

        def told(_entry: Entry, outcome: WriteOutcome) -> None:
            nonlocal left
            assert outcome is WriteOutcome.STORED
            left -= 1
            if not left:
                done.set_result(None)

        for _ in range(left):
            writer.submit(next(entries), told)
        await done
        return 2_000

    async def bare() -> int:
        for _ in range(4):
            await plain.execute(
                b"INSERT INTO plain SELECT sha256(($1::text || '-' || g::text)::bytea), repeat('x', 600) "
                b"FROM generate_series(1, 500) AS g",
                (str(next(numbers)),),
            )
        return 2_000

    loop = asyncio.get_running_loop()
    found = await asyncio.to_thread(
        paired,
        "write in batches of 500",
        lambda: _run(loop, ours),
        "INSERT of the text alone",
        lambda: _run(loop, bare),
    )
    for entry in entries:  # what the rounds left, so that the queries have all of them
        writer.submit(entry, lambda _entry, _outcome: None)
    await writer.stop(30)
    await plain.close()
    return [found]


async def _queries(events: Sequence[dict[str, Any]]) -> list[Figure]:
    from relay.storage.database import connect
    from relay.storage.reads import Reads

    reads = Reads.of_primary(1, 10.0)
    reads.open()
    plain = await connect(application="benchmark", statement_seconds=30)
    await plain.execute(b"VACUUM ANALYZE")
    rng = random.Random(9)

    async def bare() -> int:
        for _ in range(QUERIES):
            wanted = bytes.fromhex(rng.choice(events)["id"])
            cursor = await plain.execute(b"SELECT json FROM relay_event WHERE id = $1", (wanted,), binary=True)
            await cursor.fetchall()
        return QUERIES

    loop = asyncio.get_running_loop()
    figures = []
    for name, make in shapes(events, 5).items():
        asked = partial(_ask, reads, make)
        figures.append(
            await asyncio.to_thread(
                paired, f"query: {name}", partial(_run, loop, asked), "SELECT by id, psycopg", partial(_run, loop, bare)
            )
        )
    await reads.close()
    await plain.close()
    return figures


async def _ask(reads: Any, make: Callable[[], dict[str, Any]]) -> int:
    from relay.protocol.filters import parse_filter
    from relay.protocol.limits import Limits

    for _ in range(QUERIES):
        await reads.query([parse_filter(make(), Limits())])
    return QUERIES
