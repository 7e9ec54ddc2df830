"""Carries out the deletions and requests to vanish that a store of an earlier version holds as plain events (09-22).

Runs in a migration, before a process of this version serves anything; killed in the middle, it begins again: what was
done is found done. One transaction for some hundred targets, each of which holds the order lock for milliseconds.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from django.db import connection

from relay.protocol import kinds
from relay.protocol.event import Event
from relay.protocol.removal import Place, Targets, asks_to_vanish_here, targets_of
from relay.storage.batch import target_columns

PAGE_EVENTS = 500
MOST_TARGETS = 1_000
"""Targets of one transaction, beyond which one more deletion may reach."""

_decode = msgspec.json.Decoder(Event).decode


def carry_out_stored(own_places: frozenset[Place]) -> None:
    """Apply every stored kind 5, then every stored kind 62 that names this relay."""
    waiting: list[tuple[Event, Targets]] = []
    size = 0
    for event in _stored(kinds.DELETION):
        targets = targets_of(event)
        waiting.append((event, targets))
        size += len(targets.ids) + len(targets.addresses)
        if size >= MOST_TARGETS or len(waiting) >= PAGE_EVENTS:
            _delete(waiting)
            waiting, size = [], 0
    _delete(waiting)
    for event in _stored(kinds.VANISH):
        if asks_to_vanish_here(event, own_places):
            _execute(
                "SELECT relay_vanish_request(%s::bytea, %s::bytea, %s::bigint, %s::bytea, '', 0)",
                [bytes.fromhex(event.id), bytes.fromhex(event.pubkey), event.created_at, event.json],
            )


def _delete(deletions: list[tuple[Event, Targets]]) -> None:
    if not any(targets.ids or targets.addresses for _, targets in deletions):
        return
    _execute(
        "SELECT relay_carry_out_deletions(%s::bytea, %s::bigint[], %s::integer[], %s::bytea, %s::integer[], "
        "%s::integer[], %s::text[])",
        [
            bytes.fromhex("".join([event.pubkey for event, _ in deletions])),
            [event.created_at for event, _ in deletions],
            *target_columns([(number, targets) for number, (_, targets) in enumerate(deletions, 1)]),
        ],
    )


def _stored(kind: int) -> Iterator[Event]:
    """The stored events of a kind, newest first, read in pages."""
    created_at, event_id = 2**63 - 1, b""
    while True:
        rows = _execute(
            "SELECT created_at, id, json FROM relay_event WHERE kind = %s AND created_at <= %s "
            "AND (created_at < %s OR id > %s) ORDER BY created_at DESC, id LIMIT %s",
            [kind, created_at, created_at, event_id, PAGE_EVENTS],
        )
        for created_at, event_id, text in rows:  # noqa: B007 - where the next page begins
            yield _decode(text)
        if len(rows) < PAGE_EVENTS:
            return


def _execute(statement: str, parameters: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
