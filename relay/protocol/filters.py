"""A filter of a REQ (NIP-01): parsing with the relay's limits, and matching events in memory.

Rule: SQL, the live index and every cache must agree with `Filter.matches` (01-F19).
"""

from array import array
from collections.abc import Iterable
from string import ascii_letters
from typing import Any

import msgspec

from relay.protocol.errors import Invalid, Unsupported
from relay.protocol.event import MAX_INTEGER, StoredEvent
from relay.protocol.keys import is_hex
from relay.protocol.kinds import MAX_KIND
from relay.protocol.limits import Limits

_TAG_NAMES = {f"#{letter}": letter for letter in ascii_letters}
_HEX_LETTERS = frozenset("ep")
_MAX_UNSIGNED = 2**64 - 1


class Filter(msgspec.Struct, frozen=True, gc=False):
    """Conditions that must all hold; None means no condition, an empty set matches nothing (01-F01, 01-F08).

    `since` and `until` are Unix seconds, both inclusive. `limit` applies to stored events. It is `capped` if the
    relay's default set it and `max_limit` has room for twice as much: then the whole boundary second is sent (01-F18).
    `tags` holds (letter, {letter + value}) sorted by letter, as `StoredEvent.tag_keys` does.
    """

    ids: frozenset[str] | None
    authors: frozenset[str] | None
    kinds: frozenset[int] | None
    since: int | None
    until: int | None
    limit: int
    capped: bool
    tags: tuple[tuple[str, frozenset[str]], ...]

    def matches(self, event: StoredEvent) -> bool:  # noqa: PLR0911 - one step out for each condition, on the hot path
        """True if the event fulfils every condition. `limit` is ignored (01-F15)."""
        if self.kinds is not None and event.kind not in self.kinds:
            return False
        if self.since is not None and event.created_at < self.since:
            return False
        if self.until is not None and event.created_at > self.until:
            return False
        if self.authors is not None and event.pubkey not in self.authors:
            return False
        if self.ids is not None and event.id not in self.ids:
            return False
        for _, keys in self.tags:  # noqa: SIM110 - a generator would double the price
            if keys.isdisjoint(event.tag_keys):
                return False
        return True

    def looks(self, event: StoredEvent) -> int:
        """How many values of tags `matches` looks for at most: 0.1 us each, and more if the event has thousands."""
        tags = len(event.tag_keys)
        return sum([min(len(keys), tags) for _, keys in self.tags])

    @property
    def conditions(self) -> tuple[object, ...]:
        """What decides whether an event matches: filters with equal conditions match the same events.

        Nothing in it has a hash that clients can compute.
        """
        kinds = None if self.kinds is None else kinds_key(self.kinds)
        return self.ids, self.authors, kinds, f"{self.since} {self.until}", self.tags

    @property
    def key(self) -> tuple[object, ...]:
        """What an answer is found by in a table: filters with equal keys have the same answer. The filter itself is no
        such key: its hash is that of its numbers, see `conditions`.
        """
        return *self.conditions, self.limit, self.capped

    def sets(self) -> list[frozenset[str]]:
        """The sets of texts in the filter: ids, authors and the values of each tag."""
        found = [keys for _, keys in self.tags]
        if self.authors is not None:
            found.append(self.authors)
        if self.ids is not None:
            found.append(self.ids)
        return found

    @property
    def matches_nothing(self) -> bool:
        """True if no event can match: an empty list, or since after until (01-F03, 01-F08)."""
        ids, authors, kinds, since = self.ids, self.authors, self.kinds, self.since
        if (ids is not None and not ids) or (authors is not None and not authors) or (kinds is not None and not kinds):
            return True
        if since is not None and self.until is not None and since > self.until:
            return True
        for _, keys in self.tags:  # noqa: SIM110 - a generator would double the price
            if not keys:
                return True
        return False


def kinds_key(kinds: Iterable[int]) -> bytes:
    """Kinds in the place of their set as a key. The hash of a set of numbers is known to clients, who can make any
    number of sets with the same: to add one to a table took as long as to compare it with 30,000 others, 6 ms.
    """
    return array("H", sorted(kinds)).tobytes()


def texts_bytes(values: Iterable[str]) -> int:
    """What texts take in memory, at most, beside the head of each; always the same for the same texts.

    One that is not ASCII may have four bytes for each character, and Python may keep its UTF-8 form with it.
    """
    return sum([len(value) if value.isascii() else 8 * len(value) for value in values])


def parse_filter(value: object, limits: Limits) -> Filter:
    """The filter in a decoded JSON value.

    Raises Invalid for wrong types and values (01-F02, 01-F09, 01-F10), Unsupported for an unknown key (01-F07).
    """
    if not isinstance(value, dict):
        raise Invalid("a filter must be a JSON object")
    ids = authors = kinds = since = until = wanted = None
    tags: list[tuple[str, frozenset[str]]] = []
    for name, given in value.items():
        if name == "kinds":
            kinds = _kinds(given)
        elif name == "authors":
            authors = _hex_set(name, given)
        elif name == "ids":
            ids = _hex_set(name, given)
        elif name == "since":
            since = _integer(name, given)
        elif name == "until":
            until = _integer(name, given)
        elif name == "limit":
            wanted = _limit(given)
        elif (letter := _TAG_NAMES.get(name)) is not None:
            tags.append((letter, _tag_keys(name, letter, given)))
        else:
            raise Unsupported("filter contains unknown elements")
    limit = min(limits.default_limit if wanted is None else wanted, limits.max_limit)
    # Never more than the client's limit, nor than NIP-11 publishes: there are clients that leave a relay for it.
    capped = wanted is None and 2 * limit <= limits.max_limit
    return Filter(ids, authors, kinds, since, until, limit, capped, tuple(sorted(tags, key=_letter)))


def _letter(tag: tuple[str, frozenset[str]]) -> str:
    return tag[0]


def _texts(name: str, given: Any) -> list[str]:
    if type(given) is not list or not set(map(type, given)) <= {str}:
        raise Invalid(f"{name} must be a list of strings")
    texts: list[str] = given
    return texts


def _hex_set(name: str, given: Any) -> frozenset[str]:
    values = _texts(name, given)
    # All together: checking each of 500 authors would cost more.
    if not (set(map(len, values)) <= {64} and is_hex("".join(values))):
        raise Invalid(f"{name} must be a list of 64 lower-case hex digits each")
    return frozenset(values)


def _tag_keys(name: str, letter: str, given: Any) -> frozenset[str]:
    values = _hex_set(name, given) if letter in _HEX_LETTERS else _texts(name, given)
    return frozenset([letter + value for value in values])


def _kinds(given: Any) -> frozenset[int]:
    # type() and not isinstance(): True is not a kind.
    if type(given) is not list or not set(map(type, given)) <= {int}:
        raise Invalid("kinds must be a list of integers")
    if given and not (min(given) >= 0 and max(given) <= MAX_KIND):
        raise Invalid(f"kinds must be from 0 to {MAX_KIND}")
    return frozenset(given)


def _integer(name: str, given: Any) -> int:
    # orjson decodes integers beyond 64 bits, fractions and 1e10 as floats: all are refused here (01-F09). From 2**63 on
    # they are clamped: nostr-sdk's Timestamp.max() is 2**64 - 1, and no event is newer than MAX_INTEGER.
    if type(given) is not int or not -MAX_INTEGER - 1 <= given <= _MAX_UNSIGNED:
        raise Invalid(f"{name} must be an integer of 64 bits")
    return min(given, MAX_INTEGER)


def _limit(given: Any) -> int:
    limit = _integer("limit", given)
    if limit < 0:
        raise Invalid("limit must not be negative")
    return limit
