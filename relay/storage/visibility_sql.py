"""The SQL form of `relay.protocol.visibility.visible`, made from the same constants.

Rule: every statement that returns events to clients has one of these conditions on the row `e` of relay_event.
"""

from collections.abc import Callable, Iterable
from typing import Any

from relay.models import tag_key
from relay.protocol.audience import Audience
from relay.protocol.visibility import AUTHOR_AND_RECIPIENT_KINDS, NEVER_COPIED_KINDS, UNREADABLE_KINDS

Bind = Callable[[Any, str], str]
"""Adds a parameter of a type to the statement; returns its placeholder."""


def _numbers(kinds: Iterable[int]) -> str:
    return ",".join(map(str, sorted(kinds)))


COPIED = f"e.kind NOT IN ({_numbers(NEVER_COPIED_KINDS)})"
"""True for rows of public kinds, which are the kinds that copies hold."""


def readable(audience: Audience, bind: Bind) -> str:
    """The condition for rows of a kind that `audience` may read."""
    if not audience:
        return COPIED
    keys = bind(hex_array(audience.keys), "bytea[]")
    tag_keys = bind(bytea_array([tag_key(key) for key in audience.tag_keys]), "bytea[]")
    tagged = (
        "(SELECT true FROM relay_tag AS v WHERE v.event_id = e.id AND v.created_at = e.created_at "
        f"AND v.key = ANY ({tag_keys}) LIMIT 1) IS TRUE"
    )
    return (
        f"({COPIED} OR (e.kind NOT IN ({_numbers(UNREADABLE_KINDS)}) AND "
        f"((e.kind IN ({_numbers(AUTHOR_AND_RECIPIENT_KINDS)}) AND e.pubkey = ANY ({keys})) OR {tagged})))"
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
