"""GET /replicate/status: health, load and clock of this region, for its peers."""

import time

from replication.answers import Status, encode
from replication.receive.receiver import Receiver
from replication.receive.table import Peer


async def tell_status(receiver: Receiver, _peer: Peer, _content: bytes) -> bytes:
    """The state of the whole region, as far as this worker knows it."""
    relay, store = receiver.relay, receiver.store
    figures = await relay.status.figures()
    return encode(
        Status(
            region=receiver.table.local,
            ready=relay.unready() is None and receiver.storing,
            time=time.time(),
            identity=store.identity,
            epoch=store.epoch,
            position=max(figures.position, relay.intake.ring.position),
            connections=figures.connections,
            capacity=figures.workers * relay.config.max_connections,
            accepts=receiver.accepts(),
        )
    )
