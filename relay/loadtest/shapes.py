"""The eight filter shapes that real clients use, filled in from events that the relay holds.

Rule: the names and the shapes stay, so that figures of different runs and relays can be compared.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from relay.loadtest.pool import SignedEvent

Filter = dict[str, Any]
MAX_CHOICES = 500  # of the most frequent parents, mentions and hashtags


@dataclass
class Known:
    """What is known of the events that a relay holds."""

    ids: list[str] = field(default_factory=list)
    authors: list[str] = field(default_factory=list)
    parents: Counter[str] = field(default_factory=Counter)
    mentions: Counter[str] = field(default_factory=Counter)
    hashtags: Counter[str] = field(default_factory=Counter)
    newest: int = 0

    @classmethod
    def of_pool(cls, events: Iterable[SignedEvent]) -> "Known":
        """Of the events that this run has published."""
        known = cls()
        for event in events:
            known._add(event.id, event.author, event.created_at)
            if event.parent:
                known.parents[event.parent[0]] += 1
                known.mentions[event.parent[1]] += 1
            if event.hashtag:
                known.hashtags[event.hashtag] += 1
        return known._settled()

    @classmethod
    def of_json(cls, events: Iterable[object]) -> "Known":
        """Of events as a relay sent them; what is not of the right shape is left out."""
        known = cls()
        places = {"e": known.parents, "p": known.mentions, "t": known.hashtags}
        for event in events:
            match event:
                case {"id": str(name), "pubkey": str(author), "created_at": int(second), "tags": list(tags)}:
                    known._add(name, author, second)
                    for tag in tags:
                        match tag:
                            case ["e" | "p" | "t" as letter, str(value), *_]:
                                places[letter][value] += 1
        return known._settled()

    def _add(self, name: str, author: str, second: int) -> None:
        self.ids.append(name)
        self.authors.append(author)
        self.newest = max(self.newest, second)

    def _settled(self) -> "Known":
        """Each author once, who wrote most first."""
        self.authors = [author for author, _ in Counter(self.authors).most_common()]
        return self


def filter_shapes(known: Known, rng: random.Random) -> dict[str, Callable[[], Filter]]:
    """By name, a function that makes another filter of that shape each time; shapes without a value are left out."""
    hot = [[value for value, _ in c.most_common(MAX_CHOICES)] for c in (known.parents, known.mentions, known.hashtags)]
    parents, mentions, hashtags = hot
    shapes: dict[str, tuple[object, Callable[[], Filter]]] = {
        "one id": (known.ids, lambda: {"ids": [rng.choice(known.ids)]}),
        "20 ids": (known.ids, lambda: {"ids": rng.sample(known.ids, min(20, len(known.ids)))}),
        "author notes": (
            known.authors,
            lambda: {"authors": [rng.choice(known.authors)], "kinds": [1], "limit": 50},
        ),
        "home feed": (
            known.authors,
            lambda: {"authors": rng.sample(known.authors, min(300, len(known.authors))), "kinds": [1, 6], "limit": 100},
        ),
        "global": (
            known.ids,
            lambda: {"kinds": [1], "limit": 100, "until": known.newest - rng.randrange(20 * 86_400)},
        ),
        "thread": (parents, lambda: {"#e": [rng.choice(parents)], "kinds": [1, 6, 7, 9735], "limit": 100}),
        "mentions": (mentions, lambda: {"#p": [rng.choice(mentions)], "kinds": [1, 7, 9735], "limit": 50}),
        "hashtag": (hashtags, lambda: {"#t": [rng.choice(hashtags)], "limit": 100}),
    }
    return {name: make for name, (values, make) in shapes.items() if values}
