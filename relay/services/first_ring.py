"""The ring that a process starts with: the newest changes of the log, read from the database."""

import asyncio
import logging

from relay.changes.change import Batch
from relay.changes.ring import Ring
from relay.changes.sizes import change_bytes, steps
from relay.protocol.errors import Failed
from relay.storage.primary import PAGE_CHANGES, LogPruned, Primary

log = logging.getLogger("relay.runtime")

WARM_CHANGES = 5_000
WARM_BYTES = 8_388_608
"""Bounds of the changes that a ring gets from the log at the start: their number, and the bytes of their JSON text."""


async def ring_to(position: int, ring_bytes: int, primary: Primary) -> Ring:
    """A ring of `ring_bytes` with the last changes before `position`, so that pages of L2 can be advanced.

    Without any if the log cannot be read.
    """
    ring = Ring(position, ring_bytes)
    try:
        begin = await primary.before_newest(position, WARM_CHANGES, WARM_BYTES)
        ring = Ring(begin, ring_bytes)
        while ring.position < position:
            limit = min(PAGE_CHANGES, position - ring.position)
            batch = await primary.changes_after(ring.position, limit)
            if batch is None:
                break
            ring.complete_from = await primary.position()
            for part in steps(batch.changes, change_bytes):
                ring.append(Batch.of(part))
                await asyncio.sleep(0)
    except (Failed, LogPruned) as error:
        log.warning("the ring starts empty, so no page of the shared cache can be advanced: %s", error)
    return ring if ring.position >= position else Ring(position, ring_bytes)
