"""The events of a run, signed before the clock starts: their making must not be measured.

Rule: no event is a duplicate, of another or of another run's. Authors are new in every run, and each publishes its
profile (kind 0, replaceable) at most once, so no event replaces another while it is on its way.
"""

import hashlib
import random
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from time import time
from typing import NamedTuple

import orjson
from coincurve import PrivateKey

from relay.loadtest.plan import Plan, Scenario, Share

LIVE_KINDS = (0, 1, 6, 7, 1111)
SPREAD_SECONDS = 30 * 86_400  # of created_at where events are a relay's history
FRESH_SECONDS = 60  # where they are live
EARLIER_EVENTS = 20_000  # that later ones may answer
_WORDS = """
    nostr relay note zap coffee morning event client key sign block lightning node paper garden music river stone
    winter bread question answer today maybe never always update release photo travel book idea open free
""".split()  # noqa: SIM905 (34 words, not 34 lines)
_HASHTAGS = ["nostr", "coffee", "music", "art", "books", "garden", "news", "photography", "food", "travel"]
_KINDS, _WEIGHTS = (1, 7, 6, 1111, 0), (55, 30, 7, 5, 3)


class SignedEvent(NamedTuple):
    """An event ready to be sent: `frame` is the whole message. The other fields are what queries ask for."""

    id: str
    frame: bytes
    author: str
    kind: int
    created_at: int
    hashtag: str | None
    parent: tuple[str, str] | None  # id and author of the event that it answers


def marker(run: str) -> bytes:
    """What stands before the 8 digits of an event's number in every event of this run, in a `client` tag."""
    return f"relay-loadtest-{run}-".encode()


class _Mix:
    """One worker's events. The authors are the same in all workers of a run; each has those profiles it may publish."""

    def __init__(self, plan: Plan, share: Share) -> None:
        self._plan = plan
        self._share = share
        self._rng = random.Random(f"{plan.seed}-{share.index}")  # noqa: S311 (a mix of events, not a secret)
        secrets = (
            hashlib.sha256(f"{plan.run}-{plan.seed}-{number}".encode()).digest() for number in range(plan.authors)
        )
        self._keys = [PrivateKey(secret) for secret in secrets]
        self._names = [key.public_key_xonly.format().hex() for key in self._keys]
        # Zipf's law: a few authors write most of it.
        self._weights = list(accumulate(1 / (rank + 1) ** 0.8 for rank in range(plan.authors)))
        self._profiles = set(range(share.index, plan.authors, plan.processes))
        self._earlier: deque[tuple[str, str]] = deque(maxlen=EARLIER_EVENTS)
        history = plan.scenario in (Scenario.INGEST, Scenario.QUERY)
        self._spread = SPREAD_SECONDS if history else FRESH_SECONDS

    def event(self, number: int) -> SignedEvent:
        rng = self._rng
        author = rng.choices(range(len(self._keys)), cum_weights=self._weights)[0]
        kind = self._kind(author)
        parent = self._parent() if kind in (6, 7, 1111) or (kind == 1 and rng.random() < 0.5) else None
        hashtag = rng.choice(_HASHTAGS) if kind == 1 and rng.random() < 0.25 else None
        tags = [["e", parent[0]], ["p", parent[1]]] if parent else []
        tags += [["t", hashtag]] if hashtag else []
        tags.append(["client", f"{marker(self._plan.run).decode()}{number:08d}"])
        created_at = int(time()) if self._plan.streams else self._plan.now - rng.randrange(self._spread)
        event = self._sign(author, created_at, kind, tags, self._content(kind, number))
        self._earlier.append((event.id, event.author))
        return event._replace(hashtag=hashtag, parent=parent)

    def _kind(self, author: int) -> int:
        kind = 1 if self._plan.scenario is Scenario.IDLE else self._rng.choices(_KINDS, _WEIGHTS)[0]
        if kind == 0:
            kind = 0 if author in self._profiles else 1
            self._profiles.discard(author)
        return kind if kind in (0, 1) or self._earlier else 1

    def _parent(self) -> tuple[str, str] | None:
        """Recent events are answered most."""
        if not self._earlier:
            return None
        return self._earlier[-min(len(self._earlier), int(self._rng.paretovariate(0.7)))]

    def _content(self, kind: int, number: int) -> str:
        if kind == 0:
            return orjson.dumps({"name": f"author {number}", "about": " ".join(self._words(8))}).decode()
        if kind == 7:
            return "+"
        return "" if kind == 6 else " ".join(self._words(self._rng.randint(5, 60)))

    def _words(self, number: int) -> list[str]:
        return self._rng.choices(_WORDS, k=number)

    def _sign(self, author: int, created_at: int, kind: int, tags: list[list[str]], content: str) -> SignedEvent:
        name = self._names[author]
        digest = hashlib.sha256(orjson.dumps([0, name, created_at, kind, tags, content])).digest()
        event = {
            "id": digest.hex(),
            "pubkey": name,
            "created_at": created_at,
            "kind": kind,
            "tags": tags,
            "content": content,
            "sig": self._keys[author].sign_schnorr(digest).hex(),
        }
        frame = b'["EVENT",' + orjson.dumps(event) + b"]"
        return SignedEvent(digest.hex(), frame, name, kind, created_at, None, None)


def signed_events(plan: Plan, share: Share) -> Iterator[SignedEvent]:
    """The events of one worker, one by one, about a quarter of a millisecond each: the same again for the same plan,
    but for their times in a run that streams.
    """
    mix = _Mix(plan, share)
    return (mix.event(number) for number in range(share.first, share.first + share.events * share.step, share.step))
