"""Events copied into the tables past the writer, for stores of many thousands."""

from collections.abc import Iterable

from relay.models import tag_key
from tests.integration.storage.scribe import Json, Tables, entry


def copy_in(tables: Tables, events: Iterable[Json]) -> None:
    """Rows of events and tags, without a log; vacuumed, as autovacuum would in a while."""
    rows = [entry(event).event for event in events]
    with tables.connection.cursor() as cursor:
        columns = "id, pubkey, created_at, kind, expires_at, tag_keys, json"
        with cursor.copy(f"COPY relay_event ({columns}) FROM STDIN") as copy:
            for event in rows:
                keys = (bytes.fromhex(event.id), bytes.fromhex(event.pubkey), event.created_at, event.kind)
                copy.write_row((*keys, event.expires_at, [], event.json.decode()))
        with cursor.copy("COPY relay_tag (key, created_at, event_id, kind) FROM STDIN") as copy:
            for event in rows:
                for key in event.tag_keys:
                    copy.write_row((tag_key(key), event.created_at, bytes.fromhex(event.id), event.kind))
    tables.connection.execute("VACUUM ANALYZE relay_event")
    tables.connection.execute("VACUUM ANALYZE relay_tag")
