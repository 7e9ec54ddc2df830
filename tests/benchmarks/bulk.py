"""`python -m tests.benchmarks.bulk DIR [--events N] [--parts N]`: a data folder whose store is larger than any copy.

2,000,000 events of 365 days in about five minutes: written by COPY past the writing function, with the indexes dropped
before and built after. Ids are real hashes, signatures are made up; 50 events an author by Zipf's law, a tenth of the
authors have a profile; `written.py` says what they write. Beside the data folder's own files DIR gets `crowd.bin` and
`crowd.json`, of which `load_crowd` makes what the load generator asks for, without reading the store. With --parts the
events are divided by time into so many partitions. A run that was ended begins anew.
"""

import argparse
import json
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, overload

import orjson
import psycopg

from tests.benchmarks.crowd import SIGNERS, Crowd
from tests.benchmarks.filling import servers
from tests.benchmarks.written import Commonest, Writing
from tests.events import pubkey_of, secret

EVENTS = 2_000_000
EVENTS_PER_AUTHOR = 50
SPAN_SECONDS = 365 * 86_400
AHEAD_SECONDS = 90 * 86_400
"""So long after its events the last partition of a divided store ends."""

BATCH = 2_000
POPULAR_EVENTS = 50_000
"""After so many events others are popular."""

MOST_COMMON = 20_000
"""So many values of each tag are kept for questions."""

_PLACE = struct.Struct("<32s32sq")


class Places(Sequence[tuple[str, str, int]]):
    """The events of the store as (id, pubkey, created_at), oldest first, read from a file that is mapped."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as opened:
            self._memory = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._memory) // _PLACE.size

    @overload
    def __getitem__(self, index: int) -> tuple[str, str, int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[str, str, int]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, str, int] | list[tuple[str, str, int]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        event_id, pubkey, created_at = _PLACE.unpack_from(self._memory, number * _PLACE.size)
        return event_id.hex(), pubkey.hex(), created_at


def load_crowd(folder: Path) -> Crowd:
    """What `bulk` has noted of the store in `folder`."""
    kept = json.loads((folder / "crowd.json").read_text())
    return Crowd(Places(folder / "crowd.bin"), **kept)  # type: ignore[arg-type]


class Writer:
    """Makes the events, and the rows of each table as COPY takes them."""

    def __init__(self, count: int, seed: int = 14) -> None:
        self.count = count
        self.used = {name: Commonest(MOST_COMMON) for name in "ept"}
        self.authors = [pubkey_of(secret(number + 1)) for number in range(SIGNERS)]
        total = max(2 * SIGNERS, count // EVENTS_PER_AUTHOR)
        self.authors += [sha256(b"bulk %d" % number).hexdigest() for number in range(SIGNERS, total)]
        self.begin = int(time.time()) - SPAN_SECONDS - 60
        """When the first event was made, in Unix seconds."""
        self._rng = random.Random(seed)
        self._writing = Writing(self._rng)

    def batches(self) -> Iterator[tuple[bytes, bytes, bytes, bytes, bytes]]:
        """Rows of relay_event, relay_tag, relay_change and relay_head, and places, of BATCH events each."""
        weights = list(accumulate((number + 1) ** -0.8 for number in range(len(self.authors))))
        for start in range(0, self.count, BATCH):
            size = min(BATCH, self.count - start)
            authors = self._rng.choices(self.authors, cum_weights=weights, k=size)
            yield self._batch(start, authors)
            if start % POPULAR_EVENTS == 0:
                self._writing.choose_popular()

    def _batch(self, start: int, authors: Sequence[str]) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        writing, profiles = self._writing, len(self.authors) // 10
        events, tags, changes, heads, places = [], [], [], [], []
        used: dict[str, list[str]] = {name: [] for name in self.used}
        listed: list[list[str]]
        for number, author, chosen in zip(
            range(start, start + len(authors)), authors, writing.kinds(len(authors)), strict=True
        ):
            created_at = self.begin + number * SPAN_SECONDS // self.count
            if number < profiles:
                pubkey, kind, listed, content = self.authors[number], 0, [], writing.profile(number)
            else:
                pubkey, kind, (listed, content) = author, chosen, writing.of_kind(chosen)
            event_id = sha256(orjson.dumps([0, pubkey, created_at, kind, listed, content])).hexdigest()
            text = orjson.dumps(
                {"id": event_id, "pubkey": pubkey, "created_at": created_at, "kind": kind, "tags": listed,
                 "content": content, "sig": event_id * 2}
            ).decode()  # fmt: skip
            keys = dict.fromkeys([_key(letter, value) for letter, value in listed])
            listing = ",".join([f'"\\\\\\\\x{key}"' for key in keys])
            escaped = text.replace("\\", "\\\\")
            events.append(f"\\\\x{event_id}\t\\\\x{pubkey}\t{created_at}\t{kind}\t\\N\t{{{listing}}}\t{escaped}\n")
            tags += [f"\\\\x{key}\t{created_at}\t\\\\x{event_id}\t{kind}\n" for key in keys]
            changes.append(f"{number + 1}\t{created_at}\t+\t\\\\x{event_id}\n")
            if kind == 0:
                heads.append(f"\\\\x{pubkey}\t0\t\\\\x00\t{created_at}\t\\\\x{event_id}\n")
            else:
                writing.recent.append((event_id, pubkey))
            places.append(_PLACE.pack(bytes.fromhex(event_id), bytes.fromhex(pubkey), created_at))
            for letter, value in listed:
                if letter in used:
                    used[letter].append(value)
        for letter, values in used.items():
            self.used[letter].add(values)
        rows = ["".join(part).encode() for part in (events, tags, changes, heads)]
        return rows[0], rows[1], rows[2], rows[3], b"".join(places)

    def crowd(self) -> dict[str, Any]:
        """All of the crowd but the events, as JSON."""
        threads, mentions, hashtags = (self.used[name].found() for name in "ept")
        return {"authors": self.authors, "threads": threads, "mentions": mentions, "hashtags": hashtags}


def _key(letter: str, value: str) -> str:
    """A tag's key in hex, as relay.models.tag_key makes it."""
    form = f"01{value}" if len(value) == 64 else f"00{value.encode().hex()}"
    return f"{ord(letter):02x}{form}"


INDEXES = (
    "SELECT indexname, replace(indexdef, ' ON ONLY ', ' ON ') FROM pg_indexes WHERE tablename = ANY (%s) ORDER BY 1"
)
KEY = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'relay_event_pkey'"
COPIES = [
    "COPY relay_event (id, pubkey, created_at, kind, expires_at, tag_keys, json) FROM STDIN",
    "COPY relay_tag (key, created_at, event_id, kind) FROM STDIN",
    "COPY relay_change (seq, created_at, op, event_id) FROM STDIN",
    "COPY relay_head (pubkey, kind, d, created_at, event_id) FROM STDIN",
]
HASTE = ("fsync = off", "full_page_writes = off", "autovacuum = off", "max_wal_size = '1GB'")
"""Of the server while it is filled."""


def load(folder: Path, writer: Writer, tell: Callable[[str], None], parts: int = 1) -> None:
    """Fill the empty store on `folder`, whose servers run, with the writer's events."""
    from relay.storage.database import conninfo

    if parts > 1:
        _divide(writer.begin, parts)
    with psycopg.connect(conninfo(), autocommit=True) as database:
        _set(database, *(f"SET {setting}" for setting in HASTE))
        for number in range(writer.count // 1_000_000 + 2):
            database.execute("SELECT relay_log_make_room(%s)", (number * 1_000_000,))
        found = database.execute(INDEXES, (["relay_event", "relay_tag"],)).fetchall()
        definitions = [str(text) for name, text in found if name != "relay_event_pkey"]
        (key,) = database.execute(KEY).fetchone() or ("",)
        database.execute("ALTER TABLE relay_event DROP CONSTRAINT relay_event_pkey")
        for name, _ in found:
            if name != "relay_event_pkey":
                database.execute(f"DROP INDEX {name}")
        _copy(folder, writer, tell)
        (folder / "crowd.json").write_text(json.dumps(writer.crowd()))
        database.execute("SET maintenance_work_mem = '1GB'")
        for text in (f"ALTER TABLE relay_event ADD CONSTRAINT relay_event_pkey {key}", *definitions):
            tell(text.partition(" USING")[0].lower())
            database.execute(text)
        tell("vacuum")
        database.execute("VACUUM ANALYZE")
        _set(database, *(f"RESET {setting.partition(' ')[0]}" for setting in HASTE))
        database.execute("CHECKPOINT")
        os.sync()


def _set(database: psycopg.Connection[Any], *changes: str) -> None:
    for change in changes:
        database.execute(f"ALTER SYSTEM {change}".encode())
    database.execute("SELECT pg_reload_conf()")


def _divide(begin: int, parts: int) -> None:
    """Divide the empty store, as `manage.py partitions` does, at times of which it would choose others: each of `parts`
    partitions gets as many events. Behind them is one more, without events.
    """
    from relay.storage.partitions.plan import Period, Step
    from relay.storage.partitions.steps import carry_out

    ends = [begin + SPAN_SECONDS * number // parts for number in range(1, parts)]
    past, *others = [Period(*period) for period in pairwise((0, *ends, begin + SPAN_SECONDS + AHEAD_SECONDS))]
    for name in ("constrain", "validate", "index", "switch"):
        carry_out(Step(name, "", past))
    for period in others:
        carry_out(Step("add", "", period))


def _copy(folder: Path, writer: Writer, tell: Callable[[str], None]) -> None:
    """One COPY a table, side by side, each on a connection of its own."""
    from contextlib import ExitStack

    from relay.storage.database import conninfo

    with ExitStack() as stack:
        places = stack.enter_context((folder / "crowd.bin").open("wb"))
        connections = [stack.enter_context(psycopg.connect(conninfo())) for _ in COPIES]
        copies = [
            stack.enter_context(connection.cursor().copy(text))
            for connection, text in zip(connections, COPIES, strict=True)
        ]
        done = 0
        for *rows, where in writer.batches():
            for copy, part in zip(copies, rows, strict=True):
                copy.write(part)
            places.write(where)
            done += BATCH
            if done % 200_000 == 0:
                tell(f"{done:,} of {writer.count:,} events")


def is_filled(folder: Path) -> bool:
    """Whether a run of `ensure` has come to its end here."""
    return (folder / "crowd.count").exists()


def ensure(folder: Path, count: int, tell: Callable[[str], None], parts: int = 1) -> None:
    """Fill the store on `folder` unless that was done before; what an ended run has left is removed. Raises
    FileExistsError if something else stands there.
    """
    if is_filled(folder):
        return
    unfinished = folder / "crowd.unfinished"
    if unfinished.exists():
        shutil.rmtree(folder)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds something else than a store of this program")
    folder.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    with servers(folder):
        load(folder, Writer(count), tell, parts)
    (folder / "crowd.count").write_text(str(count))
    unfinished.unlink()


def main() -> int:
    """Fill the folder that the command line names. Exit codes: 0; 1: it holds something else; 130: by a signal."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bulk", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--parts", type=int, default=1, help="partitions")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {arguments.folder.name}: {what}", file=sys.stderr, flush=True)

    try:
        ensure(arguments.folder, arguments.events, tell, arguments.parts)
    except FileExistsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    tell("filled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
