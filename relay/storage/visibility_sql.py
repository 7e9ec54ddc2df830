"""The SQL form of `relay.protocol.visibility.visible`, made from the same constants.

Rule: every statement that returns events to clients has one of these conditions on the row `e` of relay_event.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from relay.models import tag_key
from relay.protocol import visibility
from relay.protocol.audience import Audience
from relay.protocol.visibility import RECIPIENTS_OWN_KINDS, UNREADABLE_KINDS

Bind = Callable[[Any, str], str]
"""Adds a parameter of a type to the statement; returns its placeholder."""


@cache
def numbers(kinds: frozenset[int]) -> str:
    """The kinds as a list for IN."""
    return ",".join(map(str, sorted(kinds)))


_VANISHING = "(SELECT EXISTS (SELECT FROM relay_vanish_pending))"
"""Asked once for a statement: true while rows of some key are still to be removed (NIP-62)."""

PURGING = "EXISTS (SELECT FROM relay_retention AS g WHERE g.pending AND NOT g.others)"
"""True while rows that retention hides are still to be removed."""

PRESENT = (
    f"((NOT {_VANISHING} OR NOT EXISTS (SELECT FROM relay_vanish_pending AS h "
    "WHERE h.pubkey = e.pubkey AND h.until >= e.created_at)) "
    f"AND (NOT (SELECT {PURGING}) OR NOT EXISTS (SELECT FROM relay_retention AS g "
    "WHERE g.pending AND NOT g.others AND g.before > e.created_at AND g.kinds @> e.kind)))"
)
"""True unless the author asked to vanish afterwards, or retention removes the event. Written so that it stays a filter
of the walk and costs nothing while no removal is under way."""

_WRAPS_KEPT = (
    f"(NOT {_VANISHING} OR e.kind NOT IN ({numbers(RECIPIENTS_OWN_KINDS)}) OR NOT EXISTS ("
    "SELECT FROM relay_vanish_pending AS h JOIN relay_tag AS w "
    "ON w.key = h.tag_key AND w.event_id = e.id AND w.created_at = e.created_at WHERE h.until >= e.created_at "
    "AND NOT EXISTS (SELECT FROM relay_vanish_spared AS s WHERE s.event_id = e.id AND s.seq = h.seq)))"
)
"""True unless a recipient of the gift wrap asked to vanish afterwards (62-2)."""


def public() -> str:
    """The condition for rows of public kinds."""
    return f"e.kind NOT IN ({numbers(visibility.NEVER_COPIED_KINDS)})"


def setting() -> object:
    """What a setting changes in these conditions, as a part of the key of a text that has them."""
    return visibility.NEVER_COPIED_KINDS


def copied() -> str:
    """The condition for rows of public kinds, which are the kinds that copies hold, unless their author has
    vanished.
    """
    return f"({public()} AND {PRESENT})"


COPIED = copied()
"""For statements that are made once: `relay.apps` has set the private kinds before."""

STORED = f"({PRESENT} AND {_WRAPS_KEPT})"
"""True for rows of any kind that a request to vanish does not hide."""

BACKED_UP = f"({STORED} AND e.kind NOT IN ({numbers(UNREADABLE_KINDS)}))"
"""True for rows that an operator's backup holds, private kinds among them."""


def readable(audience: Audience, bind: Bind) -> str:
    """The condition for rows of a kind that `audience` may read."""
    if not audience:
        return copied()
    keys = bind(hex_array(audience.keys), "bytea[]")
    tag_keys = bind(bytea_array([tag_key(key) for key in audience.tag_keys]), "bytea[]")
    by_author = visibility.AUTHOR_AND_RECIPIENT_KINDS | visibility.AUTHOR_KINDS
    by_recipient = visibility.AUTHOR_AND_RECIPIENT_KINDS | visibility.RECIPIENT_KINDS
    tagged = (
        "(SELECT true FROM relay_tag AS v WHERE v.event_id = e.id AND v.created_at = e.created_at "
        f"AND v.key = ANY ({tag_keys}) LIMIT 1) IS TRUE"
    )
    by_login = f"e.kind IN ({numbers(visibility.LOGIN_KINDS)}) OR " if visibility.LOGIN_KINDS else ""
    return (
        f"({copied()} OR ({STORED} AND ({by_login}(e.kind IN ({numbers(by_author)}) AND e.pubkey = ANY ({keys})) "
        f"OR (e.kind IN ({numbers(by_recipient)}) AND {tagged}))))"
    )


def unexpired(now: int, bind: Bind) -> str:
    """The condition for rows that have not expired at `now` (Unix seconds)."""
    return f"(e.expires_at IS NULL OR e.expires_at > {bind(now, 'bigint')})"


def bytea_array(values: Iterable[bytes]) -> str:
    """A bytea[] in PostgreSQL's text form: far cheaper to make than psycopg's list of bytes."""
    return '{"\\\\x' + '","\\\\x'.join([value.hex() for value in values]) + '"}'


def hex_array(values: Iterable[str]) -> str:
    """Like `bytea_array`, from hex digits."""
    return '{"\\\\x' + '","\\\\x'.join(values) + '"}'
