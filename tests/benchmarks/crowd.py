"""A relay's store and its clients as they are in life: few authors write most, few threads are read by many.

Events are written straight into the tables with signatures of zeros, which the store does not check; the same in every
run but for the time.
"""

import hashlib
import random
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import orjson

from tests.events import UNSIGNED, pubkey_of, secret, sign_event

Json = dict[str, Any]
SPAN_SECONDS = 30 * 86_400
SIGNERS = 50
"""The busiest authors have keys: they write on while it is measured."""

WORDS = "nostr relay zap note gm bitcoin sat client event plebs coffee sunrise key sign hash block".split()  # noqa: SIM905
HASHTAGS = [f"tag{number}" for number in range(200)]
FOLLOWED, READERS, PAGES = 300, 400, 500

MIX = {
    "one id": 20,
    "20 ids": 10,
    "author notes": 15,
    "home feed": 20,
    "global": 5,
    "thread": 15,
    "mentions": 10,
    "hashtag": 5,
}
"""What clients ask, in percent."""


class Zipf:
    """Chooses a number below `count`, the lower the more often (rank to the power of -1)."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self._weights = list(accumulate(1 / (rank + 1) for rank in range(count)))
        self._rng = rng

    def __call__(self) -> int:
        return bisect(self._weights, self._rng.random() * self._weights[-1])


@dataclass
class Crowd:
    """`events` oldest first as (id, pubkey, created_at); the values of tags, those that occur most first."""

    events: list[tuple[str, str, int]] = field(default_factory=list)
    authors: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    mentions: list[str] = field(default_factory=list)
    hashtags: list[str] = field(default_factory=list)


class Maker:
    """Makes the events of a crowd, oldest first."""

    def __init__(self, count: int, seed: int = 6) -> None:
        self.rng = random.Random(seed)
        self.count = count
        authors = max(SIGNERS, count // 100)
        self.crowd = Crowd()
        self.crowd.authors = [pubkey_of(secret(number + 1)) for number in range(SIGNERS)]
        self.crowd.authors += [hashlib.sha256(b"%d" % number).hexdigest() for number in range(SIGNERS, authors)]
        self._author = Zipf(authors, self.rng)
        self._hashtag = Zipf(len(HASHTAGS), self.rng)
        self._begin = int(time.time()) - SPAN_SECONDS - 60
        self._used = {name: Counter[str]() for name in "ept"}

    def event(self, number: int) -> Json:
        """The event with this number; call it with each number in turn."""
        authors = self.crowd.authors
        created_at = self._begin + number * SPAN_SECONDS // self.count
        if number < len(authors):
            content = orjson.dumps({"name": f"author {number}", "about": " ".join(self.words(8))}).decode()
            return self._keep(_unsigned(authors[number], created_at, 0, [], content))
        kind, tags, content = self.written()
        return self._keep(_unsigned(authors[self._author()], created_at, kind, tags, content))

    def written(self) -> tuple[int, list[list[str]], str]:
        """Kind, tags and content of an event that a user writes."""
        rng = self.rng
        kind = rng.choices((1, 7, 6, 1111), (50, 35, 10, 5))[0]
        tags: list[list[str]] = []
        if kind != 1 or rng.random() < 0.5:
            parent = self._parent()
            tags += [["e", parent[0]], ["p", parent[1]]]
        if kind == 1 and rng.random() < 0.25:
            tags.append(["t", HASHTAGS[self._hashtag()]])
        return kind, tags, "+" if kind == 7 else " ".join(self.words(rng.randint(5, 60)))

    def words(self, count: int) -> list[str]:
        return self.rng.choices(WORDS, k=count)

    def _parent(self) -> tuple[str, str, int]:
        """Mostly what was written just now, sometimes one of the popular events."""
        events, rng = self.crowd.events, self.rng
        if rng.random() < 0.2:
            return events[len(events) // 1_000 * rng.randrange(1_000) % len(events)]
        return events[-min(len(events), int(rng.paretovariate(0.7)))]

    def _keep(self, event: Json) -> Json:
        self.crowd.events.append((event["id"], event["pubkey"], event["created_at"]))
        for name, value in event["tags"]:
            self._used[name][value] += 1
        return event

    def finished(self) -> Crowd:
        """The crowd, when all events are made."""
        threads, mentions, hashtags = ([value for value, _ in self._used[name].most_common(2_000)] for name in "ept")
        self.crowd.threads, self.crowd.mentions, self.crowd.hashtags = threads, mentions, hashtags
        return self.crowd

    def signed(self, number: int) -> bytes:
        """The frame of another event, written now, with a signature."""
        kind, tags, content = self.written()
        author = secret(self.rng.randrange(SIGNERS) + 1)
        event = sign_event(author, kind=kind, tags=tags, content=f"{content} {number}", created_at=int(time.time()))
        return orjson.dumps(["EVENT", event])


def _unsigned(pubkey: str, created_at: int, kind: int, tags: list[list[str]], content: str) -> Json:
    digest = hashlib.sha256(orjson.dumps([0, pubkey, created_at, kind, tags, content])).hexdigest()
    names = ("id", "pubkey", "created_at", "kind", "tags", "content", "sig")
    return dict(zip(names, (digest, pubkey, created_at, kind, tags, content, UNSIGNED), strict=True))


def questions(crowd: Crowd, seed: int) -> dict[str, Callable[[], Json]]:
    """The eight shapes, each asked with values that come again as they do in life."""
    rng = random.Random(seed)
    events, newest = crowd.events, crowd.events[-1][2]
    author, thread = Zipf(len(crowd.authors), rng), Zipf(len(crowd.threads), rng)
    mention, hashtag = Zipf(len(crowd.mentions), rng), Zipf(len(crowd.hashtags), rng)
    reader, page = Zipf(READERS, rng), Zipf(PAGES, rng)
    feeds = [_follows(crowd.authors, author, rng) for _ in range(READERS)]

    def one_id() -> str:
        return crowd.threads[thread()] if rng.random() < 0.3 else _recent(events, rng)

    return {
        "one id": lambda: {"ids": [one_id()]},
        "20 ids": lambda: {"ids": [one_id() for _ in range(20)]},
        "author notes": lambda: {"authors": [crowd.authors[author()]], "kinds": [1], "limit": 50},
        "home feed": lambda: {"authors": feeds[reader()], "kinds": [1, 6], "limit": 100},
        "global": lambda: {"kinds": [1], "limit": 100, "until": newest - page() * 600},
        "thread": lambda: {"#e": [crowd.threads[thread()]], "kinds": [1, 6, 7, 9735], "limit": 100},
        "mentions": lambda: {"#p": [crowd.mentions[mention()]], "kinds": [1, 7, 9735], "limit": 50},
        "hashtag": lambda: {"#t": [crowd.hashtags[hashtag()]], "limit": 100},
    }


def _follows(authors: Sequence[str], author: Zipf, rng: random.Random) -> list[str]:
    """Whom a user follows: half of them known to all, half to few."""
    wanted = min(FOLLOWED, len(authors))
    known = {authors[author()] for _ in range(wanted)}
    return sorted({*sorted(known)[: wanted // 2], *rng.sample(list(authors), wanted - wanted // 2)})


def _recent(events: Sequence[tuple[str, str, int]], rng: random.Random) -> str:
    return events[-min(len(events), int(10 * rng.paretovariate(0.5)))][0]
