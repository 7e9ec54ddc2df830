"""The search syntax of the list of events. Every search is exact and scans one index.

64 hex digits              an event's id, or an author's key
npub1...  nprofile1...     an author
note1...  nevent1...       an event
naddr1...                  the newest version of a replaceable or addressable event
id:...  author:...         only an event, only an author, in any of these forms
kind:1                     a kind
t:bitcoin  t:"two words"   a single-letter tag with this value; one at most. p:npub1..., e:note1...
since:2026-01-31  until:2026-01-31T12:00  until:1767225600
                           a day, a time (UTC) or Unix seconds; both ends are included
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time

from relay.protocol import nip19

HEX_KEY = re.compile(r"[0-9a-f]{64}")
_TERM = re.compile(r'([^\s:"]+):"([^"]*)"|(\S+)')


class BadSearch(ValueError):
    """An invalid search; the message tells the operator what to write instead."""


@dataclass(slots=True)
class Search:
    """A parsed search; None for what it does not restrict. Times in Unix seconds; `tag`: letter and value joined."""

    key: str | None = None  # an id or an author
    id: str | None = None
    author: str | None = None
    kind: int | None = None
    since: int | None = None
    until: int | None = None
    tag: str | None = None
    address: tuple[str, int, str] | None = None  # author, kind and identifier

    def within(self, since: int | None, until: int | None) -> "Search":
        """This search with its time range intersected with another one."""
        starts = [bound for bound in (self.since, since) if bound is not None]
        ends = [bound for bound in (self.until, until) if bound is not None]
        return replace(self, since=max(starts, default=None), until=min(ends, default=None))


def parse_search(text: str) -> Search:
    """Parse a search. Raises BadSearch."""
    search = Search()
    for name, quoted, plain in _TERM.findall(text):
        if name:
            _take(search, name, quoted)
        elif nip19.is_name(plain):
            _take_name(search, plain)
        elif ":" in plain:
            _take(search, *plain.split(":", 1))
        else:
            search.key = hex_key(plain)
    return search


def _take_name(search: Search, text: str) -> None:
    name = named(text)
    if name.id is not None:
        search.id = name.id
    elif name.author is not None and name.identifier is not None:
        search.address = name.author, kind_number(str(name.kind)), name.identifier
    else:
        search.author = name.author


def named(text: str) -> nip19.Name:
    """Decode a NIP-19 entity. Raises BadSearch."""
    try:
        return nip19.decode(text)
    except nip19.NotAName as error:
        raise BadSearch(str(error)) from None


def _take(search: Search, name: str, value: str) -> None:
    if name == "id":
        search.id = _plain_key(value, "id")
    elif name in ("author", "pubkey"):
        search.author = _plain_key(value, "author")
    elif name == "kind":
        search.kind = kind_number(value)
    elif name == "since":
        search.since = moment(value)
    elif name == "until":
        search.until = moment(value, is_end=True)
    else:
        if search.tag is not None:
            raise BadSearch("Only one tag can be searched for at a time.")
        search.tag = tag_of(name, _tag_value(value))


def _plain_key(text: str, part: str) -> str:
    """The id or author (`part`) of a NIP-19 entity or 64 hex digits. Raises BadSearch."""
    if not nip19.is_name(text):
        return hex_key(text)
    key = getattr(named(text), part)
    if key is None:
        raise BadSearch(f"That name gives no {part}.")
    return str(key)


def _tag_value(value: str) -> str:
    """A tag's value, with NIP-19 entities converted to hex or an address."""
    if not nip19.is_name(value):
        return value
    name = named(value)
    if name.identifier is not None:
        return f"{name.kind}:{name.author}:{name.identifier}"
    return str(name.id or name.author)


def tag_of(letter: str, value: str) -> str:
    """Letter and value joined, as in the tag index. Raises BadSearch."""
    if not (len(letter) == 1 and letter.isascii() and letter.isalpha()):
        raise BadSearch(f"“{letter[:80]}:” is not known: use id, author, kind, since, until, or one letter for a tag.")
    if not value:
        raise BadSearch(f"Which value should the tag “{letter}” have? Write {letter}:value.")
    return letter + value


def hex_key(text: str) -> str:
    """An id or a public key as 64 lower-case hex digits. Raises BadSearch."""
    key = text.lower()
    if not HEX_KEY.fullmatch(key):
        raise BadSearch(
            f"“{text[:80]}” is not an id or a public key of 64 hex digits, nor an npub, note, nprofile, nevent "
            "or naddr. Content cannot be searched."
        )
    return key


def kind_number(text: str) -> int:
    """A kind, 0 to 65535. Raises BadSearch."""
    if not (re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= 65_535):
        raise BadSearch(f"“{text[:80]}” is not a kind: kinds are whole numbers from 0 to 65535.")
    return int(text)


def moment(text: str, *, is_end: bool = False) -> int:
    """Unix seconds of a time (UTC) or of a day's first second, with `is_end` its last. Raises BadSearch."""
    if re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    try:
        found = datetime.fromisoformat(text)
        if len(text) == len("2026-01-31") and is_end:
            found = datetime.combine(found, time(23, 59, 59))
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise BadSearch(f"“{text[:80]}” is not a time: write 2026-01-31, 2026-01-31T12:00 or Unix seconds.") from None
