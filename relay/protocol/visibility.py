"""The one rule that decides whether an event may be sent to an audience (X-1, 59-1, 59-3, 04-1, 42-4, 42-7).

Rule: SQL states the same from the same constants (relay.storage.visibility_sql), a test compares the two, and no other
module names a private kind. Private kinds are never copied: no cache and no single flight holds them.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import structs

from relay.protocol import kinds
from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.errors import AuthRequired, RelayError, Restricted
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter

AUTHOR_AND_RECIPIENT_KINDS: Final[frozenset[int]] = frozenset({kinds.ENCRYPTED_DIRECT_MESSAGE})
"""Readable by the author and by the keys of `p` tags (NIP-04)."""

RECIPIENT_KINDS: Final[frozenset[int]] = frozenset({kinds.GIFT_WRAP, kinds.EPHEMERAL_GIFT_WRAP})
"""Readable only by the keys of `p` tags: the author is a key used once (NIP-59)."""

UNREADABLE_KINDS: Final[frozenset[int]] = kinds.LOGINS
"""Never sent: logins (42-4)."""

RECIPIENTS_OWN_KINDS: Final[frozenset[int]] = frozenset({kinds.GIFT_WRAP})
"""Kinds that the keys of `p` tags may delete like the author, and that go when one of these vanishes (59-5, 62-2)."""

AUTHOR_KINDS: frozenset[int] = frozenset()
"""Readable by the author alone: drafts, where `keep_drafts_private` was called (37-1)."""

LOGIN_KINDS: frozenset[int] = frozenset()
"""Readable by any client that has logged in, with any key, where `keep_for_logins` named them (42-7)."""

PRIVATE_KINDS: frozenset[int] = AUTHOR_AND_RECIPIENT_KINDS | RECIPIENT_KINDS
"""Kinds that no client reads without a login: those that only some keys may read, and `LOGIN_KINDS`."""

NEVER_COPIED_KINDS: frozenset[int] = PRIVATE_KINDS | UNREADABLE_KINDS
"""Kinds that no copy may hold: an answer from a copy is sent to any reader."""


def keep_drafts_private(on: bool) -> None:
    """Set whether drafts are private; once, before any module makes SQL of these kinds (`relay.apps`)."""
    global AUTHOR_KINDS  # noqa: PLW0603 - a setting of the process
    AUTHOR_KINDS = kinds.DRAFTS if on else frozenset()
    _gather(LOGIN_KINDS)


def keep_for_logins(asked: Iterable[int]) -> None:
    """Set the kinds that any client that has logged in may read, and no other; when `keep_drafts_private` is called.

    A kind among them that only some keys may read, or none, stays so.
    """
    _gather(frozenset(asked))


def _gather(for_logins: frozenset[int]) -> None:
    global LOGIN_KINDS, PRIVATE_KINDS, NEVER_COPIED_KINDS  # noqa: PLW0603 - settings of the process
    of_some_keys = AUTHOR_AND_RECIPIENT_KINDS | RECIPIENT_KINDS | AUTHOR_KINDS
    LOGIN_KINDS = for_logins - of_some_keys - UNREADABLE_KINDS
    PRIVATE_KINDS = of_some_keys | LOGIN_KINDS
    NEVER_COPIED_KINDS = PRIVATE_KINDS | UNREADABLE_KINDS


def visible(event: StoredEvent, audience: Audience, now: int) -> bool:
    """True if the event may be sent to `audience` at `now` (Unix seconds).

    An event is gone from `expires_at` on (40-1, 40-2).
    """
    if event.expires_at is not None and event.expires_at <= now:
        return False
    return event.kind not in NEVER_COPIED_KINDS or _may_read(event, audience)


def _may_read(event: StoredEvent, audience: Audience) -> bool:
    if event.kind in UNREADABLE_KINDS:
        return False
    if event.kind in LOGIN_KINDS:
        return bool(audience)
    if event.kind in AUTHOR_KINDS:
        return event.pubkey in audience.keys
    if event.kind in AUTHOR_AND_RECIPIENT_KINDS and event.pubkey in audience.keys:
        return True
    return not audience.tag_keys.isdisjoint(event.tag_keys)


def owners(event: StoredEvent) -> list[str]:
    """The keys that may delete the event, and with which it goes when one vanishes: its author's first."""
    if event.kind in RECIPIENTS_OWN_KINDS:
        return [event.pubkey, *(key[1:] for key in event.tag_keys if key[0] == "p")]
    return [event.pubkey]


def is_copied(kind: int) -> bool:
    """True if copies may hold events of this kind."""
    return kind not in NEVER_COPIED_KINDS


def all_public(chosen: frozenset[int] | None) -> bool:
    """True if the kinds of a filter are public, so that any client may read what matches; False without kinds."""
    return chosen is not None and chosen.isdisjoint(NEVER_COPIED_KINDS)


def left_out() -> list[int]:
    """The kinds that are private by a setting: copies that were made with another setting must not be used."""
    return sorted(AUTHOR_KINDS | LOGIN_KINDS)


def may_be_private(filters: Sequence[Filter], audience: Audience) -> bool:
    """True if an event that is not public can belong to the answer of `filters` for `audience`.

    Such a query is answered by the database in one statement; copies answer all others.
    """
    return bool(audience.keys) and any(flt.kinds is None or not flt.kinds.isdisjoint(PRIVATE_KINDS) for flt in filters)


def names_private(flt: Filter) -> bool:
    """True if the filter names a kind that not every client may read, so that a query may look through events that it
    does not send.
    """
    return flt.kinds is not None and not flt.kinds.isdisjoint(NEVER_COPIED_KINDS)


def can_match(flt: Filter, audience: Audience = ANONYMOUS) -> bool:
    """False if no stored event that `audience` may read can match: empty lists, or kinds that it may not read, or that
    are never stored.
    """
    return not flt.matches_nothing and (flt.kinds is None or not flt.kinds <= _never_found(flt.kinds, audience))


def readable_part(flt: Filter, audience: Audience = ANONYMOUS) -> Filter:
    """The filter without kinds of which `audience` finds no stored event: the stored answer is the same.

    `{"kinds":[1,4]}` of an anonymous client becomes a walk of kind 1 that memory may answer; otherwise all private
    messages are looked through. Ephemeral kinds alone need no look at all. Not for subscriptions: what is not stored is
    sent live, and a login may come after them.
    """
    if flt.kinds is None:
        return flt
    hidden = _never_found(flt.kinds, audience)
    return flt if flt.kinds.isdisjoint(hidden) else structs.replace(flt, kinds=flt.kinds - hidden)


def _never_found(chosen: frozenset[int], audience: Audience) -> frozenset[int]:
    """The kinds of which `audience` finds no stored event, and the ephemeral ones among the `chosen`."""
    unreadable = UNREADABLE_KINDS if audience.keys else NEVER_COPIED_KINDS
    if not chosen or max(chosen) < kinds.FIRST_EPHEMERAL:
        return unreadable
    return unreadable.union(filter(kinds.is_ephemeral, chosen))


def division(flt: Filter, audience: Audience) -> list[Filter]:
    """Filters, whose answers together are that of `flt` for an `audience` with keys, cut at its limit.

    Private kinds are divided by what makes them readable, author or recipient, so that each part names it and is found
    by an index: `{"kinds":[4]}` looked through the private messages of all keys, and was refused.
    """
    if flt.ids is not None or flt.kinds is None or flt.kinds.isdisjoint(PRIVATE_KINDS):
        return [flt]
    by_author = flt.kinds & (AUTHOR_AND_RECIPIENT_KINDS | AUTHOR_KINDS)
    by_recipient = flt.kinds & (AUTHOR_AND_RECIPIENT_KINDS | RECIPIENT_KINDS)
    parts = []
    if others := flt.kinds - by_author - by_recipient:
        parts.append(structs.replace(flt, kinds=others))
    if by_author and (authors := audience.keys if flt.authors is None else flt.authors & audience.keys):
        parts.append(structs.replace(flt, kinds=by_author, authors=authors))
    if by_recipient:
        names_reader = any(keys <= audience.tag_keys for _, keys in flt.tags)
        tags = flt.tags if names_reader else (*flt.tags, ("p", audience.tag_keys))
        parts.append(structs.replace(flt, kinds=by_recipient, tags=tags))
    return parts


def why_unreadable(filters: Sequence[Filter], audience: Audience) -> RelayError | None:
    """The refusal of a query that names private kinds alone and cannot find any event for `audience` (59-2). One that
    is for several keys is not found by naming the others alone.

    None where something may be found, and for queries that also ask for public events, or name no kinds: of those the
    private part is left out silently, because a refusal would tell that there is one (59-3).
    """
    for flt in filters:
        if not flt.kinds or not flt.kinds <= PRIVATE_KINDS:
            return None
    if not audience:
        return AuthRequired("log in to read these kinds")
    if any(_may_hold_own(flt, audience) for flt in filters):
        return None
    return Restricted("these private events are for others")


def _may_hold_own(flt: Filter, audience: Audience) -> bool:
    """True unless its kinds are all for some keys alone, and the authors and recipients that it names are others."""
    kinds_wanted = flt.kinds or frozenset()
    if not kinds_wanted.isdisjoint(LOGIN_KINDS):
        return True
    by_author = flt.authors is None or not flt.authors.isdisjoint(audience.keys)
    recipients = next((keys for letter, keys in flt.tags if letter == "p"), None)
    to_recipient = recipients is None or not recipients.isdisjoint(audience.tag_keys)
    if by_author and not kinds_wanted.isdisjoint(AUTHOR_AND_RECIPIENT_KINDS | AUTHOR_KINDS):
        return True
    return to_recipient and not kinds_wanted.isdisjoint(RECIPIENT_KINDS | AUTHOR_AND_RECIPIENT_KINDS)
