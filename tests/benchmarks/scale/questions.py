"""What is asked: eight shapes of filters with keys drawn evenly from the whole store, and home feeds as in life.

Most of what is asked in life is new or popular, and a cache holds it; an even draw asks for what no cache has.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.benchmarks.crowd import MIX, Crowd, questions

Json = dict[str, Any]
Make = Callable[[], tuple[str, list[Json]]]

FOLLOWED = 300
HOT = 500
"""So many of the commonest values of a tag."""

PAGED_SECONDS = 20 * 86_400
MIXED = "mixed, as in life"
AS_FOLLOWED = "home feed, as followed"


def even(crowd: Crowd, seed: int) -> dict[str, Callable[[], Json]]:
    """The eight shapes."""
    rng = random.Random(seed)
    events, authors, newest = crowd.events, crowd.authors, crowd.events[-1][2]

    def ids(number: int) -> list[str]:
        return [events[rng.randrange(len(events))][0] for _ in range(number)]

    def hot(values: Sequence[str]) -> list[str]:
        return [values[rng.randrange(min(HOT, len(values)))]]

    return {
        "one id": lambda: {"ids": ids(1)},
        "20 ids": lambda: {"ids": ids(20)},
        "an author's notes": lambda: {"authors": [rng.choice(authors)], "kinds": [1], "limit": 50},
        "home feed of 300 authors": lambda: {
            "authors": rng.sample(authors, min(FOLLOWED, len(authors))), "kinds": [1, 6], "limit": 100,
        },
        "newest 100 notes before a time": lambda: {
            "kinds": [1], "limit": 100, "until": newest - rng.randrange(PAGED_SECONDS),
        },
        "a thread": lambda: {"#e": hot(crowd.threads), "kinds": [1, 6, 7, 9735], "limit": 100},
        "mentions": lambda: {"#p": hot(crowd.mentions), "kinds": [1, 7, 9735], "limit": 50},
        "a hashtag": lambda: {"#t": hot(crowd.hashtags), "limit": 100},
    }  # fmt: skip


def makers(crowd: Crowd, seed: int) -> dict[str, Make]:
    """By name: the eight shapes, home feeds of readers who follow known authors, and everything mixed as in life."""
    in_life, rng = questions(crowd, seed), random.Random(seed)
    names, weights = list(MIX), list(MIX.values())
    shapes = {**even(crowd, seed), AS_FOLLOWED: in_life["home feed"]}

    def one(name: str) -> Make:
        return lambda: (name, [shapes[name]()])

    def mixed() -> tuple[str, list[Json]]:
        return MIXED, [in_life[rng.choices(names, weights)[0]]()]

    return {**{name: one(name) for name in shapes}, MIXED: mixed}
