"""Whether live delivery was exact: every acknowledged event came once, in the order of changes."""

from collections.abc import Sequence

import psycopg

from tests.acceptance.faults.load import Listener, Publisher
from tests.acceptance.faults.outages import OwnServers


async def assert_delivered_in_order(servers: OwnServers, publisher: Publisher, listeners: Sequence[Listener]) -> None:
    """Of a publisher that has finished: none of its events was refused, and each listener has all, as the log has."""
    assert publisher.refused == []
    for listener in listeners:
        await listener.has(publisher.acknowledged)
        await listener.stop()
    order = order_of(servers, publisher.pubkey)
    assert sorted(order) == sorted(publisher.acknowledged)
    assert [listener.ids for listener in listeners] == [order] * len(listeners)


def order_of(servers: OwnServers, pubkey: str) -> list[str]:
    """The events of an author in the order of changes."""
    with psycopg.connect(servers.postgres.url) as connection:
        rows = connection.execute(
            "SELECT encode(c.event_id, 'hex') FROM relay_change AS c JOIN relay_event AS e ON e.id = c.event_id "
            "WHERE c.op = '+' AND encode(e.pubkey, 'hex') = %s ORDER BY c.seq",
            [pubkey],
        ).fetchall()
    return [row[0] for row in rows]
