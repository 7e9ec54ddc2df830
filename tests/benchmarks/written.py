"""What the users of a large store write: 600 to 1,000 bytes of JSON an event, less for a reaction, and three tags.

A reply names the root, its parent and the parent's author; a reaction the event, its author and its kind; other notes
have hashtags.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Iterable

import orjson

from tests.benchmarks.crowd import HASHTAGS, SIGNERS, WORDS, Zipf
from tests.events import secret, sign_event

KINDS = {1: 50, 7: 30, 6: 8, 1111: 6, 9735: 6}
RECENT = 20_000
POPULAR = 500
"""So many events at a time are those that most events answer."""

Tags = list[list[str]]


class Writing:
    """Kind, tags and content of one event after the other. Each is to be told with `remember`."""

    def __init__(self, rng: random.Random) -> None:
        self.recent: deque[tuple[str, str]] = deque(maxlen=RECENT)
        """Id and author."""
        self._rng = rng
        self._popular: list[tuple[str, str]] = []
        self._popularity = Zipf(POPULAR, rng)
        self._hashtag = Zipf(len(HASHTAGS), rng)
        self._phrases = [" ".join(rng.choices(WORDS, k=5)) for _ in range(5_000)]

    def kinds(self, count: int) -> list[int]:
        """As often as each is written."""
        return self._rng.choices(list(KINDS), list(KINDS.values()), k=count)

    def choose_popular(self) -> None:
        """Have others than before answered by many."""
        self._popular = self._rng.sample(self.recent, min(POPULAR, len(self.recent)))

    def of_kind(self, kind: int) -> tuple[Tags, str]:
        """Tags and content of an event; it needs `recent` ones."""
        rng = self._rng
        if not self.recent or (kind == 1 and rng.random() < 0.4):
            return self._hashtags(rng.randint(1, 4)), self.text(rng.randint(2, 22))
        event_id, author = self._parent()
        if kind in {6, 7}:
            return [["e", event_id], ["p", author], ["k", "1"]], "+" if kind == 7 else self.text(rng.randint(8, 20))
        if kind == 9735:
            return [["e", event_id], ["p", author], ["P", self._parent()[1]]], self.text(rng.randint(8, 16))
        tags = [["e", self._parent()[0]], ["e", event_id], ["p", author]]
        return tags + self._hashtags(rng.random() < 0.4), self.text(rng.randint(2, 22))

    def profile(self, number: int) -> str:
        """The content of an author's profile."""
        return orjson.dumps({"name": f"author {number}", "about": self.text(10)}).decode()

    def signed(self, number: int) -> bytes:
        """The frame of another event, written now by one of SIGNERS; `number` tells it from all others."""
        (kind,) = self.kinds(1)
        tags, content = self.of_kind(kind)
        author = secret(self._rng.randrange(SIGNERS) + 1)
        event = sign_event(author, kind=kind, tags=tags, content=f"{content} {number}", created_at=int(time.time()))
        return orjson.dumps(["EVENT", event])

    def text(self, phrases: int) -> str:
        """So many times five words."""
        return " ".join(self._rng.choices(self._phrases, k=phrases))

    def _hashtags(self, count: int) -> Tags:
        return [["t", HASHTAGS[number]] for number in {self._hashtag() for _ in range(count)}]

    def _parent(self) -> tuple[str, str]:
        """Mostly what was written just now, sometimes one of the popular events."""
        if self._popular and self._rng.random() < 0.2:
            return self._popular[self._popularity() % len(self._popular)]
        return self.recent[-min(len(self.recent), int(self._rng.paretovariate(0.7)))]


class Commonest:
    """Counts values, of which those that came least are forgotten: memory has a bound whatever comes."""

    def __init__(self, kept: int) -> None:
        """`kept`: so many are found; up to ten times as many are held."""
        self._kept = kept
        self._counts: Counter[str] = Counter()

    def add(self, values: Iterable[str]) -> None:
        """Count each of them once more."""
        self._counts.update(values)
        if len(self._counts) > 10 * self._kept:
            self._counts = Counter(dict(self._counts.most_common(3 * self._kept)))

    def found(self) -> list[str]:
        """Those that came most often first."""
        return [value for value, _ in self._counts.most_common(self._kept)]
