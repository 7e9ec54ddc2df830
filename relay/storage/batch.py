"""A batch of events as the columns that `relay_write` takes (storage/sql/write.sql)."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from relay.models import packed_value, tag_key
from relay.protocol.event import StoredEvent

WRITE = (
    b"SELECT first_seq, duplicates::text, outdated::text, replaced_by::text, replaced_ids, newest, "
    b"hold_ms FROM relay_write($1::bytea, $2::bytea, $3::bigint[], "
    b"$4::integer[], $5::bigint[], $6::bytea, $7::integer[], $8::bytea, $9::integer[], $10::integer[], $11::integer[], "
    b"$12::integer[], $13::text[], $14::text, $15::integer)"
)


class Entry(Struct, frozen=True, gc=False):
    """An event to be written.

    `d` is None unless its kind is replaceable or addressable ("" for a replaceable one). `origin`: 0 if it was
    published here, otherwise the peer region that it comes from.
    """

    event: StoredEvent
    d: str | None
    origin: int = 0


def _array(values: Sequence[Any]) -> str:
    return "{" + ",".join([str(value) for value in values]) + "}"


def columns(entries: Sequence[Entry], instance: str) -> list[Any]:
    """The parameters of WRITE for `entries` of one origin, in the order that they get in the log, as `instance`."""
    events = [entry.event for entry in entries]
    jsons = [event.json for event in events]
    ends, end = [], 0
    for text in jsons:
        end += len(text)
        ends.append(end)
    keys: list[bytes] = []
    owners, starts, lengths, start = [], [], [], 1
    for number, event in enumerate(events, 1):
        for letter_and_value in event.tag_keys:
            key = tag_key(letter_and_value)
            keys.append(key)
            owners.append(number)
            starts.append(start)
            lengths.append(len(key))
            start += len(key)
    heads = [(number, packed_value(entry.d).hex()) for number, entry in enumerate(entries, 1) if entry.d is not None]
    return [
        bytes.fromhex("".join([event.id for event in events])),
        bytes.fromhex("".join([event.pubkey for event in events])),
        _array([event.created_at for event in events]),
        _array([event.kind for event in events]),
        _array(["NULL" if event.expires_at is None else event.expires_at for event in events]),
        b"".join(jsons),
        _array(ends),
        b"".join(keys),
        _array(owners),
        _array(starts),
        _array(lengths),
        _array([number for number, _ in heads]),
        _array([d for _, d in heads]),
        instance,
        entries[0].origin,
    ]
