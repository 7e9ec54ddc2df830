"""The regions as routing knows them, out of the database. Rule: one statement, whose answer is one JSON text."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import msgspec
from django.db import connection

from relay.protocol.removal import Place as Address
from relay.protocol.removal import place_of
from relay.storage.statements import Statements
from replication.geo.choice import Region
from replication.geo.sphere import Place

statement = Statements(Path(__file__).parent / "sql")


class Row(msgspec.Struct, frozen=True):
    """A region as sql/regions.sql has it. `heard_at`: Unix seconds."""

    name: str
    is_local: bool
    latitude: float | None
    longitude: float | None
    relay_urls: list[str]
    weight: int
    is_up: bool
    heard_at: float | None
    connections: int
    capacity: int


_ROWS = msgspec.json.Decoder(list[Row])


def regions_of(text: bytes, own: Collection[Address]) -> tuple[Region, ...]:
    """The regions of an answer. A peer under one of our `own` addresses loses it, or clients would be sent in a circle.

    Raises msgspec.DecodeError.
    """
    return tuple([_region(row, own) for row in _ROWS.decode(text)])


def read_regions(own: Collection[Address]) -> tuple[Region, ...]:
    """The regions now, for a command or a page. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(statement("regions"))
        return regions_of(cursor.fetchone()[0].encode(), own)


def _region(row: Row, own: Collection[Address]) -> Region:
    place = None
    if row.latitude is not None and row.longitude is not None:
        with suppress(ValueError):
            place = Place(row.latitude, row.longitude)
    return Region(
        row.name,
        tuple([url for url in row.relay_urls if row.is_local or place_of(url) not in own]),
        place,
        row.is_local,
        row.weight,
        row.is_up,
        row.heard_at,
        row.connections,
        row.capacity,
    )
