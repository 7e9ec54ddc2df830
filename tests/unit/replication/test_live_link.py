"""The link for ephemeral events: how a run of it ends."""

import threading
from types import SimpleNamespace
from typing import Any

from replication.models import Region
from replication.send.bus_listener import Ephemeral
from replication.send.live import LiveLink

EVENT = Ephemeral(b'{"pubkey":"%s","kind":24133}' % (b"a" * 64), 0)
BATCHES = 5


def test_a_run_ends_though_events_never_cease() -> None:
    stop, sent = threading.Event(), list[bytes]()

    def post(_path: str, content: bytes) -> None:
        sent.append(content)
        link.offer(EVENT)  # while the request is under way
        if len(sent) == BATCHES:
            stop.set()
        assert len(sent) < 2 * BATCHES, "it goes on"

    client: Any = SimpleNamespace(post=post)
    link = LiveLink(Region(name="us"), client)
    link.offer(EVENT)
    link.run(stop)
    assert len(sent) == BATCHES + 1
