"""Asks a peer for its state, over the connection that replicates: health, load, clock, back-pressure."""

import time

from django.utils import timezone

from replication.answers import Status, decode_status
from replication.client import PeerClient, PeerError
from replication.models import PeerHealth, Region
from replication.wire import STATUS_PATH


def ask(client: PeerClient, peer: Region) -> Status | None:
    """The peer's state, which is noted; None, and the reason is noted, if it does not answer."""
    try:
        answer = client.get(STATUS_PATH)
        now = time.time()
        status = decode_status(answer.body)
    except PeerError as error:
        _note(peer, error=str(error)[:500], ready=False)
        return None
    except ValueError:
        _note(peer, error="answered with what cannot be read", ready=False)
        return None
    _note(
        peer,
        last_contact_at=timezone.now(),
        latency_ms=round(answer.seconds * 1_000, 2),
        clock_difference_seconds=round(status.time - (now - answer.seconds / 2), 3),
        ready=status.ready,
        connections=max(0, status.connections),
        capacity=max(0, status.capacity),
        accepts_events=max(0, status.accepts.events),
        accepts_bytes=max(0, status.accepts.bytes),
        position=status.position,
        error="",
    )
    return status


def _note(peer: Region, **found: object) -> None:
    PeerHealth.objects.update_or_create(peer=peer, defaults={"asked_at": timezone.now(), **found})
