"""`python -m tests.benchmarks.bulk DIR [--events N]`: a data folder whose store is larger than any copy of it.

2,000,000 events of 365 days in about four minutes: written by COPY past the writing function, with the indexes dropped
before and built after. Ids are real hashes, signatures are made up, about 600 bytes of JSON and two single-letter tags
an event; 40,000 authors by Zipf's law, a tenth of them with a profile. Beside the data folder's own files DIR gets
`crowd.bin` and `crowd.json`, of which `load_crowd` makes what the load generator asks for, without reading the store.
"""

import argparse
import json
import mmap
import random
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import orjson
import psycopg

from tests.benchmarks.crowd import HASHTAGS, SIGNERS, WORDS, Crowd, Zipf
from tests.benchmarks.filling import servers
from tests.events import pubkey_of, secret

EVENTS = 2_000_000
EVENTS_PER_AUTHOR = 50
SPAN_SECONDS = 365 * 86_400
BATCH = 2_000
KINDS = {1: 50, 7: 30, 6: 8, 1111: 6, 9735: 6}
RECENT = 20_000
POPULAR = 500
"""So many events at a time are those that most events answer."""

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
        self.used = {name: Counter[str]() for name in "ept"}
        self.authors = [pubkey_of(secret(number + 1)) for number in range(SIGNERS)]
        total = max(2 * SIGNERS, count // EVENTS_PER_AUTHOR)
        self.authors += [sha256(b"bulk %d" % number).hexdigest() for number in range(SIGNERS, total)]
        self._rng = random.Random(seed)
        self._recent: deque[tuple[str, str]] = deque(maxlen=RECENT)
        self._popular: list[tuple[str, str]] = []
        self._popularity = Zipf(POPULAR, self._rng)
        self._hashtag = Zipf(len(HASHTAGS), self._rng)
        self._phrases = [" ".join(self._rng.choices(WORDS, k=5)) for _ in range(5_000)]
        self._begin = int(time.time()) - SPAN_SECONDS - 60

    def batches(self) -> Iterator[tuple[bytes, bytes, bytes, bytes, bytes]]:
        """Rows of relay_event, relay_tag, relay_change and relay_head, and places, of BATCH events each."""
        rng = self._rng
        weights = list(accumulate((number + 1) ** -0.8 for number in range(len(self.authors))))
        profiles = len(self.authors) // 10
        for start in range(0, self.count, BATCH):
            size = min(BATCH, self.count - start)
            authors = rng.choices(self.authors, cum_weights=weights, k=size)
            kinds = rng.choices(list(KINDS), list(KINDS.values()), k=size)
            events, tags, changes, heads, places = [], [], [], [], []
            listed: list[list[str]]
            for number, author, chosen in zip(range(start, start + size), authors, kinds, strict=True):
                created_at = self._begin + number * SPAN_SECONDS // self.count
                if number < profiles:
                    pubkey, kind, listed = self.authors[number], 0, []
                    content = orjson.dumps({"name": f"author {number}", "about": self._text(3)}).decode()
                else:
                    pubkey, kind, (listed, content) = author, chosen, self._written(chosen)
                raw = orjson.dumps([0, pubkey, created_at, kind, listed, content])
                event_id = sha256(raw).hexdigest()
                text = orjson.dumps(
                    {"id": event_id, "pubkey": pubkey, "created_at": created_at, "kind": kind, "tags": listed,
                     "content": content, "sig": event_id * 2}
                ).decode()  # fmt: skip
                keys = [_key(letter, value) for letter, value in listed]
                listing = ",".join([f'"\\\\\\\\x{key}"' for key in keys])
                escaped = text.replace("\\", "\\\\")
                events.append(f"\\\\x{event_id}\t\\\\x{pubkey}\t{created_at}\t{kind}\t\\N\t{{{listing}}}\t{escaped}\n")
                tags += [f"\\\\x{key}\t{created_at}\t\\\\x{event_id}\t{kind}\n" for key in keys]
                changes.append(f"{number + 1}\t{created_at}\t+\t\\\\x{event_id}\n")
                if kind == 0:
                    heads.append(f"\\\\x{pubkey}\t0\t\\\\x00\t{created_at}\t\\\\x{event_id}\n")
                else:
                    self._recent.append((event_id, pubkey))
                places.append(_PLACE.pack(bytes.fromhex(event_id), bytes.fromhex(pubkey), created_at))
                for letter, value in listed:
                    self.used[letter][value] += 1
            self._popular = rng.sample(self._recent, min(POPULAR, len(self._recent))) if start % 50_000 == 0 else (
                self._popular
            )  # fmt: skip
            rows = ["".join(part).encode() for part in (events, tags, changes, heads)]
            yield rows[0], rows[1], rows[2], rows[3], b"".join(places)

    def _written(self, kind: int) -> tuple[list[list[str]], str]:
        rng = self._rng
        tags: list[list[str]] = []
        if self._recent and (kind != 1 or rng.random() < 0.6):
            parent = self._parent()
            tags += [["e", parent[0]], ["p", parent[1]]]
        if kind != 7 and rng.random() < 0.4:
            tags.append(["t", HASHTAGS[self._hashtag()]])
        return tags, "+" if kind == 7 else self._text(rng.randint(1, 12))

    def _parent(self) -> tuple[str, str]:
        """Mostly what was written just now, sometimes one of the popular events."""
        if self._popular and self._rng.random() < 0.2:
            return self._popular[self._popularity() % len(self._popular)]
        return self._recent[-min(len(self._recent), int(self._rng.paretovariate(0.7)))]

    def _text(self, phrases: int) -> str:
        return " ".join(self._rng.choices(self._phrases, k=phrases))

    def crowd(self) -> dict[str, Any]:
        """All of the crowd but the events, as JSON."""
        threads, mentions, hashtags = ([value for value, _ in self.used[n].most_common(MOST_COMMON)] for n in "ept")
        return {"authors": self.authors, "threads": threads, "mentions": mentions, "hashtags": hashtags}


def _key(letter: str, value: str) -> str:
    """A tag's key in hex, as relay.models.tag_key makes it."""
    form = f"01{value}" if letter in "ep" else f"00{value.encode().hex()}"
    return f"{ord(letter):02x}{form}"


INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('relay_event', 'relay_tag') ORDER BY 1"
COPIES = [
    "COPY relay_event (id, pubkey, created_at, kind, expires_at, tag_keys, json) FROM STDIN",
    "COPY relay_tag (key, created_at, event_id, kind) FROM STDIN",
    "COPY relay_change (seq, created_at, op, event_id) FROM STDIN",
    "COPY relay_head (pubkey, kind, d, created_at, event_id) FROM STDIN",
]


def load(folder: Path, writer: Writer, tell: Callable[[str], None]) -> None:
    """Fill the empty store on `folder`, whose servers run, with the writer's events."""
    from relay.storage.database import conninfo

    with psycopg.connect(conninfo(), autocommit=True) as database:
        for number in range(writer.count // 1_000_000 + 2):
            database.execute("SELECT relay_log_make_room(%s)", (number * 1_000_000,))
        definitions = [(str(name), str(text)) for name, text in database.execute(INDEXES).fetchall()]
        database.execute("ALTER TABLE relay_event DROP CONSTRAINT relay_event_pkey")
        for name, _ in definitions:
            if name != "relay_event_pkey":
                database.execute(f"DROP INDEX {name}")
        _copy(folder, writer, tell)
        (folder / "crowd.json").write_text(json.dumps(writer.crowd()))
        database.execute("SET maintenance_work_mem = '1GB'")
        database.execute("ALTER TABLE relay_event ADD PRIMARY KEY (id)")
        for name, text in definitions:
            if name != "relay_event_pkey":
                tell(f"index {name}")
                database.execute(text)
        tell("vacuum")
        database.execute("VACUUM ANALYZE")
        database.execute("CHECKPOINT")


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
                tell(f"{done:,} events")


def ensure(folder: Path, count: int, tell: Callable[[str], None]) -> None:
    """Fill the store on `folder` unless that was done before."""
    if (folder / "crowd.json").exists() and (folder / "crowd.count").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with servers(folder):
        load(folder, Writer(count), tell)
    (folder / "crowd.count").write_text(str(count))


def main() -> int:
    """Fill the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bulk", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=EVENTS)
    arguments = parser.parse_args()
    begin = time.monotonic()
    ensure(
        arguments.folder,
        arguments.events,
        lambda what: print(f"{time.monotonic() - begin:5.0f} s  {what}", file=sys.stderr, flush=True),
    )
    print(f"{time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
