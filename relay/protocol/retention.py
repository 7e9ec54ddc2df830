"""How long events are kept: rules by kind, author and age. Pure.

A rule is a line of words: kinds, authors, age. `1,6-7 others 30d` keeps kinds 1, 6 and 7 of keys that are not on the
list of allowed keys for 30 days; `* 365d` keeps all kinds for a year; `1 forever` exempts kind 1 from the rules of `*`.

Rule: of the rules that apply to the author of an event, those that name its kind hold; if none does, those of `*`. Of
several, the shortest age holds. Keys that are not on the list never keep an event longer than those on it.

Replaceable and addressable events, deletions and requests to vanish are kept for ever (09-7): no rule may name them,
and `*` leaves them out.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from msgspec import Struct

from relay.protocol.kinds import INDELIBLE_KINDS, MAX_KIND, is_regular

Span = tuple[int, int]
"""Kinds from the first to the last, both included."""

HOUR: Final = 3_600
MAX_RULES: Final = 100
MAX_SECONDS: Final = 100 * 365 * 86_400
FOREVER: Final = "forever"
_UNITS: Final = {"h": HOUR, "d": 86_400, "y": 365 * 86_400}


class NotARule(ValueError):
    """The text is no rule of retention; the message says why."""


class Rule(Struct, frozen=True, gc=False, order=True):
    """`kinds` empty: all that retention may remove. `others`: only for authors that are not on the list of allowed
    keys. `seconds` None: kept for ever.
    """

    kinds: tuple[Span, ...]
    others: bool
    seconds: int | None

    def __str__(self) -> str:
        return f"{spans_text(self.kinds) or '*'}{' others' if self.others else ''} {_age(self.seconds)}"


def spans_text(kinds: Iterable[Span]) -> str:
    """Kinds as a rule has them."""
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in kinds)


def _age(seconds: int | None) -> str:
    if seconds is None:
        return FOREVER
    return f"{seconds // 86_400}d" if seconds % 86_400 == 0 else f"{seconds // HOUR}h"


def removable(kind: int) -> bool:
    """True for kinds that a rule may remove."""
    return is_regular(kind) and kind not in INDELIBLE_KINDS


def _removable_spans() -> tuple[Span, ...]:
    kept = [False, *map(removable, range(MAX_KIND + 1)), False]  # each kind is looked at once: every process does this
    edges = [kind for kind, (before, now) in enumerate(pairwise(kept)) if before != now]
    return tuple((low, high - 1) for low, high in zip(edges[::2], edges[1::2], strict=True))


REMOVABLE: Final = _removable_spans()


def parse_rule(text: str) -> Rule:
    """The rule that a text says. Raises NotARule."""
    words = text.split()
    if len(words) == 3 and words[1] == "others":
        kinds, age, others = words[0], words[2], True
    elif len(words) == 2:
        kinds, age, others = words[0], words[1], False
    else:
        raise NotARule(f"“{text[:80]}” is no rule: write kinds, then `others` or nothing, then an age")
    return Rule(() if kinds == "*" else _spans(kinds), others, _seconds(age))


def _spans(text: str) -> tuple[Span, ...]:
    spans = sorted(_span(part) for part in text.split(","))
    joined: list[Span] = []
    for low, high in spans:
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(high, joined[-1][1])
        else:
            joined.append((low, high))
    return tuple(joined)


def _span(text: str) -> Span:
    first, dash, last = text.partition("-")
    numbers = (first, last if dash else first)
    if not all(number.isascii() and number.isdigit() and len(number) < 6 for number in numbers):
        raise NotARule(f"“{text[:20]}” is no kind and no range of kinds")
    low, high = int(numbers[0]), int(numbers[1])
    if not low <= high <= MAX_KIND:
        raise NotARule(f"“{text[:20]}” is no range of kinds")
    if not any(begin <= low and high <= end for begin, end in REMOVABLE):
        raise NotARule(
            f"“{text[:20]}” holds kinds that are always kept: replaceable and addressable events and kinds 5 and 62"
        )
    return low, high


def _seconds(text: str) -> int | None:
    if text == FOREVER:
        return None
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if (
        unit is None
        or not (number.isascii() and number.isdigit())
        or not 0 < (seconds := int(number[:12]) * unit) <= MAX_SECONDS
    ):
        raise NotARule(f"“{text[:20]}” is no age: write 12h, 30d, 2y or {FOREVER}")
    return seconds


def parse_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """The rules of texts, each once, in one order. Raises NotARule, also for more than MAX_RULES."""
    rules = {parse_rule(text) for text in texts}
    if len(rules) > MAX_RULES:
        raise NotARule(f"there may be {MAX_RULES} rules, not {len(rules)}")
    return tuple(sorted(rules, key=str))


@dataclass(frozen=True, slots=True)
class Kept:
    """For how many seconds the events of some kinds are kept, None for ever. `others`: those of keys that are not on
    the list of allowed keys, never longer than those of `all`.
    """

    kinds: tuple[Span, ...]
    all: int | None
    others: int | None


class Retention:
    """What the rules say of each kind. `shortest`: no event that is younger is removed; None without any rule."""

    __slots__ = ("_ages", "_begins", "kept", "rules", "shortest")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        named = [rule for rule in rules if rule.kinds]
        for_all = [rule for rule in rules if not rule.kinds]
        edges = {edge for low, high in REMOVABLE for edge in (low, high + 1)}
        edges |= {edge for rule in named for low, high in rule.kinds for edge in (low, high + 1)}
        self._begins = sorted(edges | {0})
        self._ages = [_ages(begin, named, for_all) for begin in self._begins]
        self.kept = self._grouped()
        self.shortest = min((kept.others for kept in self.kept if kept.others is not None), default=None)

    def _grouped(self) -> tuple[Kept, ...]:
        """The kinds that are not kept for ever, by their ages."""
        groups: dict[tuple[int | None, int | None], list[Span]] = {}
        ends = [*self._begins[1:], MAX_KIND + 1]
        for begin, end, ages in zip(self._begins, ends, self._ages, strict=True):
            if ages != (None, None):
                spans = groups.setdefault(ages, [])
                if spans and spans[-1][1] == begin - 1:
                    spans[-1] = spans[-1][0], end - 1
                else:
                    spans.append((begin, end - 1))
        return tuple(Kept(tuple(spans), *ages) for ages, spans in groups.items())

    def seconds(self, kind: int, *, is_allowed: bool) -> int | None:
        """For how long an event of this kind is kept, by whether its author is on the list of allowed keys."""
        of_all, of_others = self._ages[bisect_right(self._begins, kind) - 1]
        return of_all if is_allowed else of_others

    def is_outside(self, kind: int, created_at: int, pubkey: str, allowed: Collection[str], now: int) -> bool:
        """True if the event is older than it would be kept. One comparison for events that are young enough."""
        if self.shortest is None or created_at >= now - self.shortest:
            return False
        seconds = self.seconds(kind, is_allowed=pubkey in allowed)
        return seconds is not None and created_at < now - seconds

    def published(self) -> list[dict[str, Any]]:
        """NIP-11: for how long the events of any key are kept, by kinds."""
        return [
            {"kinds": [low if low == high else [low, high] for low, high in kept.kinds], "time": kept.others}
            for kept in self.kept
        ]


def _ages(kind: int, named: Sequence[Rule], for_all: Sequence[Rule]) -> tuple[int | None, int | None]:
    if not (kind <= MAX_KIND and removable(kind)):
        return None, None
    of_kind = [rule for rule in named if any(low <= kind <= high for low, high in rule.kinds)]
    of_all = _age_of([rule for rule in of_kind if not rule.others], [rule for rule in for_all if not rule.others])
    of_others = _age_of(of_kind, for_all)
    return of_all, of_others if of_all is None or (of_others is not None and of_others < of_all) else of_all


def _age_of(named: Sequence[Rule], for_all: Sequence[Rule]) -> int | None:
    return min((rule.seconds for rule in named or for_all if rule.seconds is not None), default=None)


@lru_cache(maxsize=16)
def retention_of(rules: tuple[Rule, ...]) -> Retention:
    """What these rules say."""
    return Retention(rules)


KEEPS_ALL: Final = retention_of(())
