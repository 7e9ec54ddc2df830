"""`python -m tests.benchmarks.message_costs`: what one kilobyte of each kind of message costs the server.

It makes a store of 50,000 events and 40,000 that attacks ask for, starts `serve` with one worker on it, sends each kind
of message over one connection for some seconds, and prints the CPU of the worker and of PostgreSQL (/proc) for a
kilobyte sent, and its ratio to a kilobyte of events with a bad signature. About three minutes; `--only TEXT` measures
some.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from relayproject.runtime.processes import living_in
from tests.acceptance.relay_process import RelayProcess
from tests.benchmarks.published import until_filled
from tests.events import pubkey_of, secret, sign_event, unsigned_event

EVENTS = 50_000
EACH = 20_000
"""So many private messages to one key, and so many notes with one hashtag."""

SECONDS = 6.0
"""The time for one kind of message."""

MOST = 3_000
"""Messages of one kind."""

PATIENCE_SECONDS = 20.0
TARGET = 50.0
"""No message should cost more than so many times a bad signature."""

VICTIM = pubkey_of(secret(77))
TICK_MS = 1_000 / os.sysconf("SC_CLK_TCK")
LAST = frozenset({"OK", "EOSE", "CLOSED", "NOTICE"})
UNUSED_TAG_VALUE = "none"

Make = Callable[[int], str | bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of message: `make(number)` is one. `window`: unanswered ones at a time; 0: there is no answer to wait for.

    `pause`: seconds between two. `most`: so many at most.
    """

    name: str
    make: Make
    window: int = 1
    pause: float = 0.0
    most: int = MOST


def message(*parts: Any) -> str:
    """A message as compact JSON."""
    return json.dumps(parts, separators=(",", ":"))


def _req(number: int, *filters: dict[str, Any]) -> str:
    return message("REQ", f"{number % 50}", *filters)


def kinds(authors: Sequence[str], ids: Sequence[str]) -> Iterator[Kind]:
    """All kinds, the bad signature first."""
    now = int(time.time())
    rng = random.Random(6)
    new = [sign_event(secret(1 + n % 50), content=f"new {n} " + "x" * 300, created_at=now) for n in range(MOST)]
    tags = [["t", f"{n:05d}"] for n in range(10_000)]
    long = [sign_event(secret(3), tags=tags, content=f"{n}", created_at=now) for n in range(12)]
    busy, unused = pubkey_of(secret(78)), list(range(40_000, 40_025))
    common = {"#t": ["common"], "#x": [UNUSED_TAG_VALUE]}

    def bad(number: int) -> str:
        return message("EVENT", unsigned_event(content=f"bad {number} " + "x" * 300, created_at=now))

    def feed(number: int) -> str:
        wanted = {"kinds": [1, 6], "limit": 100, "until": now - number * 900, "authors": rng.sample(authors, 300)}
        return _req(number, wanted)

    def private(number: int) -> str:
        until = now - number * 20
        return _req(number, *[{"kinds": [4], "#p": [VICTIM], "until": until - n} for n in range(20)])

    def mixed(number: int) -> str:
        until = now - number * 20
        return _req(number, *[{"kinds": [1, 4], "#p": [VICTIM], "until": until - n} for n in range(20)])

    yield Kind("EVENT with a bad signature", bad, 50)
    yield Kind("EVENT, new", lambda n: message("EVENT", new[n]), 50)
    yield Kind("EVENT, stored already", lambda n: message("EVENT", new[n % 500]), 50)
    yield Kind("EVENT with 10,000 tags", lambda n: message("EVENT", long[n % 12]), 4)
    yield Kind("REQ of one id", lambda n: _req(n, {"ids": [ids[n]]}), 8)
    yield Kind("REQ of a home feed, 300 authors", feed)
    yield Kind('REQ {"kinds":[4]}', lambda n: _req(n, {"kinds": [4]}), 8)
    yield Kind('REQ {"kinds":[4,1],"until":n}', lambda n: _req(n, {"kinds": [4, 1], "until": now - n * 60}))
    yield Kind('REQ 20 x {"kinds":[4],"#p":[v],"until":n}', private, 8)
    yield Kind('REQ 20 x {"kinds":[1,4],"#p":[v],"until":n}', mixed, 4)
    yield Kind('REQ {"#t":["common"],"#x":["none"]}', lambda n: _req(n, {**common, "until": now - n}), 4)
    yield Kind("REQ of 30,000 tag values", lambda n: _req(n, {"#t": [f"{n % 10}{each:05d}" for each in range(30_000)]}))
    yield Kind(
        'REQ {"kinds":[1],"#p":[v],"until":n}', lambda n: _req(n, {"kinds": [1], "#p": [VICTIM], "until": now - n})
    )
    yield Kind(
        'REQ {"authors":[a],"#x":["none"]}', lambda n: _req(n, {"authors": [busy], "#x": ["none"], "until": now - n})
    )
    yield Kind("REQ of 25 unused kinds", lambda n: _req(n, {"kinds": unused, "until": now - n}))
    yield Kind("REQ, replaced each 10 ms", lambda n: _req(0, {**common, "until": now - n}), 0, 0.01)
    yield Kind("REQ, replaced at once", lambda n: _req(0, {**common, "until": now - n}), 0)
    yield Kind("CLOSE", lambda n: message("CLOSE", f"none {n}"), 0, most=20 * MOST)
    yield Kind("garbage", lambda n: f"{n}" + "\ufffd{]" * 150, 50)
    yield Kind("deep JSON", lambda n: '["EVENT",' + "[" * 5_000 + f"{n}" + "]" * 5_000 + "]", 50)
    yield Kind("ping", lambda n: b"%d" % n, 0, most=20 * MOST)
    yield Kind("ping each 10 ms", lambda n: b"%d" % n, 0, 0.01)  # what a worker takes to wake up
    yield Kind("empty frame", lambda _: "", 0, most=20 * MOST)


# -- The store ---------------------------------------------------------------------------------------------------------

_ATTACKED = """
WITH made AS (
    SELECT n, sha256(convert_to('{name}' || n, 'UTF8')) AS id, {now} - n * 20 AS created_at FROM generate_series(1, {each}) AS n
), stored AS (
    INSERT INTO relay_event (id, pubkey, created_at, kind, expires_at, tag_keys, json)
    SELECT id, decode('{author}', 'hex'), created_at, {kind}, NULL, ARRAY[decode('{key}', 'hex')],
        format('{{"id":"%s","pubkey":"{author}","created_at":%s,"kind":{kind},"tags":[["{letter}","{value}"]],"content":"%s","sig":"%s"}}',
               encode(id, 'hex'), created_at, n, repeat(encode(id, 'hex'), 2))
    FROM made
)
INSERT INTO relay_tag (key, created_at, event_id, kind) SELECT decode('{key}', 'hex'), created_at, id, {kind} FROM made
"""  # noqa: E501 - as one reads SQL


def make_store(folder: Path) -> None:
    """Fill the folder; in a process of its own, because it sets Django up."""
    import psycopg

    from relay.storage.database import conninfo
    from tests.benchmarks import bulk
    from tests.benchmarks.filling import servers

    author, now = pubkey_of(secret(78)), int(time.time()) - 60
    attacked = [("p", VICTIM, 4, "70" + "01" + VICTIM), ("t", "common", 1, "74" + "00" + b"common".hex())]
    with servers(folder):
        bulk.load(folder, bulk.Writer(EVENTS), lambda _: None)
        with psycopg.connect(conninfo(), autocommit=True) as database:
            for letter, value, kind, key in attacked:
                text = _ATTACKED.format(name=value, now=now, each=EACH, author=author, kind=kind, key=key,
                                        letter=letter, value=value)  # fmt: skip
                database.execute(text.encode())
            database.execute("VACUUM ANALYZE")
            database.execute("ALTER SYSTEM SET autovacuum = off")  # its CPU would be charged to any message


# -- Measuring ---------------------------------------------------------------------------------------------------------


def cpu_ms(relay: RelayProcess) -> tuple[float, float]:
    """CPU so far of the worker and of PostgreSQL, in milliseconds; of ended backends too."""
    databases = list(living_in(relay.data_dir / "postgres", "postgres"))
    return sum(map(_used, relay.workers())), sum(map(_used, databases)) + _children(min(databases))


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["0"] * 20


def _used(pid: int) -> float:
    found = _fields(pid)
    return (int(found[11]) + int(found[12])) * TICK_MS


def _children(pid: int) -> float:
    found = _fields(pid)
    return (int(found[13]) + int(found[14])) * TICK_MS


class Client:
    """One connection that counts the last frames of answers."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.answered = 0
        self.refused = 0
        self._more = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            async for frame in self.socket:
                verb = str(frame[2:8]).partition('"')[0]
                if verb in LAST:
                    self.answered += 1
                    self.refused += verb == "CLOSED"
                    self._more.set()
        except ConnectionClosed:
            pass
        self._more.set()

    async def until_answered(self, number: int) -> bool:
        """True once so many are answered, False if that takes too long or the connection has ended."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self.answered < number and not self._reading.done():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            return False
        return self.answered >= number

    async def run(self, kind: Kind) -> tuple[int, int]:
        """Send messages of the kind until the time is over; how many, and their bytes."""
        sent = size = 0
        ends = time.monotonic() + SECONDS
        while sent < kind.most and time.monotonic() < ends and not self._reading.done():
            made = kind.make(sent)
            if isinstance(made, bytes):
                await self.socket.ping(made)
            else:
                await self.socket.send(made)
            sent += 1
            size += len(made) + 6  # the frame's head
            if kind.window and not await self.until_answered(sent - kind.window + 1):
                break
            if kind.pause:
                await asyncio.sleep(kind.pause)
        if kind.window:
            await self.until_answered(sent)
        elif not self._reading.done():
            await self.socket.send(message("REQ", "end", {"limit": 0}))
            await self.until_answered(1)
        return sent, size


def measure(folder: Path, only: Sequence[str]) -> list[tuple[str, int, int, float, float, float]]:
    """A row for the bad signature, and for each kind whose name holds one of `only` (without any: for all): name, sent,
    refused, bytes of one, and the CPU of worker and PostgreSQL in ms for a kilobyte.
    """
    from tests.benchmarks.bulk import load_crowd

    crowd = load_crowd(folder)
    ids = [crowd.events[number][0] for number in range(0, len(crowd.events) - 6_000, 10)]
    relay = RelayProcess(folder, workers=1, roles="web,migrate")
    relay.start()
    try:
        until_filled(relay)
        begin = cpu_ms(relay)
        time.sleep(3.0)
        idle = [(after - before) / 3.0 for before, after in zip(begin, cpu_ms(relay), strict=True)]
        rows = []
        for number, kind in enumerate(kinds(crowd.authors, ids)):
            if number and only and not any(text in kind.name for text in only):
                continue
            print(f"{kind.name} ...", file=sys.stderr, flush=True)
            rows.append(asyncio.run(_measure(relay, kind, idle)))
        return rows
    finally:
        relay.destroy()


async def _measure(relay: RelayProcess, kind: Kind, idle: Sequence[float]) -> tuple[str, int, int, float, float, float]:
    async with connect(relay.ws_url, max_size=None, ping_interval=None, compression=None) as socket:
        client = Client(socket)
        before, begin = cpu_ms(relay), time.monotonic()
        sent, size = await client.run(kind)
        await asyncio.sleep(0.3)  # queries of closed connections end
        after, seconds = cpu_ms(relay), time.monotonic() - begin
    used = [max(0.0, b - a - i * seconds) / (size / 1_024) for a, b, i in zip(before, after, idle, strict=True)]
    return kind.name, sent, client.refused, size / sent, used[0], used[1]


def table(rows: Sequence[tuple[str, int, int, float, float, float]]) -> str:
    """The rows with their ratio to the first."""
    lines = [
        "| message | sent | CLOSED | bytes | worker, ms/KB | PostgreSQL, ms/KB | x bad signature |",
        "|---|---|---|---|---|---|---|",
    ]
    unit = sum(rows[0][4:]) or 1.0
    for name, sent, refused, size, worker, database in rows:
        ratio = (worker + database) / unit
        mark = " (!)" if ratio > TARGET else ""
        lines.append(
            f"| {name} | {sent} | {refused} | {size:,.0f} | {worker:.2f} | {database:.2f} | {ratio:.1f}{mark} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure and print the table; 1 if a message costs more than TARGET times a bad signature."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.message_costs", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="only kinds with this in their name; may be repeated",
    )
    parser.add_argument("--store", type=Path, help="a folder that is kept, and used again")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make_store(arguments.make)
        return 0
    with tempfile.TemporaryDirectory(prefix="relay-costs-") as temporary:
        folder = arguments.store or Path(temporary)
        if not (folder / "crowd.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            print("making the store ...", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", "tests.benchmarks.message_costs", "--make", str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows = measure(folder, arguments.only)
    print(table(rows))
    unit = sum(rows[0][4:])
    return int(any(sum(row[4:]) > TARGET * unit for row in rows))


if __name__ == "__main__":
    sys.exit(main())
