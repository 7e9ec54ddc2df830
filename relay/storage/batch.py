"""A batch of events as the columns that `relay_write` takes (storage/sql/write.sql)."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, structs

from relay.models import packed_value, tag_key
from relay.protocol import kinds
from relay.protocol.event import Event, StoredEvent, address
from relay.protocol.removal import Place, Targets, asks_to_vanish_here, targets_of

_RESULT = (
    b"SELECT first_seq, duplicates::text, outdated::text, refused::text, removed_by::text, removed_ids, newest, "
    b"hold_ms FROM "
)
WRITE = (
    _RESULT + b"relay_write($1::bytea, $2::bytea, $3::bigint[], "
    b"$4::integer[], $5::bigint[], $6::bytea, $7::integer[], $8::bytea, $9::integer[], $10::integer[], $11::integer[], "
    b"$12::integer[], $13::text[], $14::text, $15::integer)"
)
WRITE_DELETIONS = (
    WRITE.removesuffix(b")") + b", $16::integer[], $17::bytea, $18::integer[], $19::integer[], $20::text[])"
)
"""For a batch that holds a kind 5; other batches are spared the five parameters."""
VANISH = _RESULT + b"relay_vanish_request($1::bytea, $2::bytea, $3::bigint, $4::bytea, $5::text, $6::integer)"


DELETE_PART = (
    b"SELECT first_seq, removed_ids FROM relay_carry_out_deletions($1::bytea, $2::bigint[], $3::integer[], $4::bytea, "
    b"$5::integer[], $6::integer[], $7::text[])"
)

MOST_TARGETS = 1_000
"""Targets that one transaction removes. Others waited for the order lock for up to 80 ms, and 140 ms for the last part,
while ten parts were carried out on two busy cores; 60 and 120 ms if no target was known."""


class Entry(Struct, frozen=True, gc=False):
    """An event to be written.

    `d` is None unless its kind is replaceable or addressable ("" for a replaceable one). `origin`: 0 if it was
    published here, otherwise the peer region that it comes from. `targets`: what a kind 5 names. `vanishes`: a request
    to vanish that names this relay, which is carried out and not stored as an event.
    """

    event: StoredEvent
    d: str | None
    origin: int = 0
    targets: Targets | None = None
    vanishes: bool = False

    @classmethod
    def of(cls, event: Event, stored: StoredEvent, origin: int, own_places: frozenset[Place]) -> "Entry":
        """The entry of an accepted event; `own_places` are those of this relay (`relay.protocol.removal`)."""
        replaced = address(event)
        return cls(
            stored,
            replaced[2] if replaced else None,
            origin,
            targets_of(event) if event.kind == kinds.DELETION else None,
            event.kind == kinds.VANISH and asks_to_vanish_here(event, own_places),
        )


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


def target_columns(named: Sequence[tuple[int, Targets]]) -> list[Any]:
    """The five columns of what deletions name (storage/sql/deletion.sql), with the number of each deletion."""
    places = [(number, kind, packed_value(d).hex()) for number, targets in named for kind, d in targets.addresses]
    return [
        _array([number for number, targets in named for _ in targets.ids]),
        bytes.fromhex("".join([event_id for _, targets in named for event_id in targets.ids])),
        _array([number for number, _, _ in places]),
        _array([kind for _, kind, _ in places]),
        _array([d for _, _, d in places]),
    ]


def divided(entry: Entry) -> tuple[list[Targets], Entry]:
    """What a deletion names, in parts that are carried out before it is stored, and the deletion with the last part."""
    targets = entry.targets
    if targets is None or len(targets.ids) + len(targets.addresses) <= MOST_TARGETS:
        return [], entry
    size = MOST_TARGETS
    parts = [Targets(targets.ids[at : at + size], ()) for at in range(0, len(targets.ids), size)]
    parts += [Targets((), targets.addresses[at : at + size]) for at in range(0, len(targets.addresses), size)]
    return parts[:-1], structs.replace(entry, targets=parts[-1])


def part_columns(entry: Entry, part: Targets) -> list[Any]:
    """The parameters of DELETE_PART."""
    event = entry.event
    return [bytes.fromhex(event.pubkey), _array([event.created_at]), *target_columns([(1, part)])]


def statement(entries: Sequence[Entry], instance: str) -> tuple[bytes, list[Any]]:
    """The statement that writes a batch, and its parameters."""
    if not entries[0].vanishes:
        named = [(number, entry.targets) for number, entry in enumerate(entries, 1) if entry.targets is not None]
        parameters = columns(entries, instance)
        return (WRITE_DELETIONS, parameters + target_columns(named)) if named else (WRITE, parameters)
    (entry,) = entries  # relay.storage.write_queue
    event = entry.event
    ids = [bytes.fromhex(event.id), bytes.fromhex(event.pubkey)]
    return VANISH, [*ids, event.created_at, event.json, instance, entry.origin]
