"""Hypothesis strategies: events and filters from small pools, so that they meet, tie and collide often."""

import string
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.events import NOW, pubkey_of, secret, sign_event, unsigned_event

AUTHORS = [secret(number) for number in range(1, 5)]
PUBKEYS = [pubkey_of(author) for author in AUTHORS]
STORED_KINDS = [0, 1, 3, 5, 7, 1984, 10_002, 30_000, 30_023, 40_001, 65_535]
KINDS = [*STORED_KINDS, 4, 1_059, 20_001, 22_242, 31_234, 1_234, 10_013]
HEX_VALUES = [*PUBKEYS, "0" * 64, "f" * 64]
VALUES = ["", "a", "A", "ab", "nostr", "\u0000", "a\u0000b", "%_\\", '"', "😀", "é\u2028", "30023:x:y", *HEX_VALUES[:2]]
LETTERS = "epatdEPz"
NAMES = [*LETTERS, "", "-", "client", "expirations", "1", "é"]

Json = dict[str, Any]


def texts(max_size: int = 30) -> st.SearchStrategy[str]:
    """Any text that JSON can carry, NUL and other control characters included."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)


def any_texts(max_size: int = 30) -> st.SearchStrategy[str]:
    """Texts rich in what serialisers treat differently: escapes, control characters, line separators."""
    odd = st.sampled_from(
        [*map(chr, range(0x21)), '"', "\\", "/", "\x7f", "\x80", "\u2028", "\ufdd1", "u", "0", "1", "😀"]
    )
    return st.text(odd, max_size=max_size) | texts(max_size)


def times() -> st.SearchStrategy[int]:
    """Few distinct seconds, so that ties are common."""
    return st.integers(NOW - 3, NOW + 3)


def tags(*, expiring: bool = True) -> st.SearchStrategy[list[list[str]]]:
    """Short lists of tags: of letters with values from the pool, of no value, empty ones, valid expirations."""
    letter = st.tuples(st.sampled_from(LETTERS), st.sampled_from(VALUES + HEX_VALUES)).map(list)
    odd = st.lists(st.sampled_from(NAMES), max_size=3)
    kinds = [letter, letter, letter, odd]
    if expiring:
        kinds.append(st.sampled_from([NOW - 1, NOW, NOW + 1, 2**63 - 1]).map(lambda time: ["expiration", str(time)]))
    return st.lists(st.one_of(kinds), max_size=4)


def events(*, kinds: Sequence[int] = KINDS, signed: bool = False, expiring: bool = True) -> st.SearchStrategy[Json]:
    """Event JSON with a right id, from small pools; unsigned unless `signed`, which costs 100 us each."""
    fields = st.fixed_dictionaries(
        {
            "kind": st.sampled_from(kinds),
            "created_at": times(),
            "tags": tags(expiring=expiring),
            "content": st.sampled_from(["", "x", "y", "\u0000\u0001", '"\\/', "😀 é"]),
        }
    )
    if signed:
        return st.builds(lambda author, given: sign_event(author, **given), st.sampled_from(AUTHORS), fields)
    return st.builds(lambda author, given: unsigned_event(pubkey=author, **given), st.sampled_from(PUBKEYS), fields)


def event_lists(
    *, max_size: int = 20, kinds: Sequence[int] = KINDS, signed: bool = False, expiring: bool = True
) -> st.SearchStrategy[list[Json]]:
    """Lists of events with distinct ids."""
    return st.lists(
        events(kinds=kinds, signed=signed, expiring=expiring), max_size=max_size, unique_by=lambda event: event["id"]
    )


def filters(ids: Sequence[str] = (), *, max_limit: int = 10) -> st.SearchStrategy[Json]:
    """Filter JSON that the relay accepts: any mix of conditions, also empty lists, also none.

    `ids` are ids of the events at hand; `limit` goes a little above `max_limit`.
    """
    optional: dict[str, st.SearchStrategy[Any]] = {
        "ids": _lists([*ids, "e" * 64]),
        "authors": _lists(PUBKEYS),
        "kinds": _lists(KINDS),
        "since": times(),
        "until": times(),
        "limit": st.integers(0, max_limit + 3),
        "#e": _lists(HEX_VALUES),
        "#p": _lists(HEX_VALUES),
        **{f"#{letter}": _lists(VALUES) for letter in LETTERS if letter not in "ep"},
    }
    return (
        st.lists(st.sampled_from(sorted(optional)), max_size=3, unique=True)
        .map(lambda names: {name: optional[name] for name in names})
        .flatmap(st.fixed_dictionaries)
    )


def audiences() -> st.SearchStrategy[list[str]]:
    """The keys that a client has proved: often none, sometimes one or several."""
    return st.lists(st.sampled_from(PUBKEYS), max_size=3, unique=True)


def filter_lists(ids: Sequence[str] = (), *, max_size: int = 3, max_limit: int = 10) -> st.SearchStrategy[list[Json]]:
    """The filters of one REQ."""
    return st.lists(filters(ids, max_limit=max_limit), min_size=1, max_size=max_size)


def _lists(pool: Sequence[Any]) -> st.SearchStrategy[list[Any]]:
    # Doubles are wanted (01-F12), empty lists are rare (01-F08).
    some = st.lists(st.sampled_from(pool), min_size=1, max_size=4)
    return st.one_of(some, some, some, some, st.just([]))


def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value, with the numbers and the keys that trip parsers."""
    numbers = st.sampled_from([-1, 0, 65_535, 65_536, 2**63 - 1, 2**63, -(2**63), 2**64 - 1]) | st.integers(
        -(2**63), 2**64 - 1
    )
    scalars = st.none() | st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False) | texts(8)
    keys = st.sampled_from(
        ["id", "pubkey", "created_at", "kind", "tags", "content", "sig", "ids", "authors", "kinds", "since", "limit"]
        + [f"#{letter}" for letter in string.ascii_letters[:6]]
    ) | texts(4)
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=12
    )
