"""The link for ephemeral events: bounded, best effort, and empty at its end."""

import json
import threading
from typing import Any

import pytest

from replication import metrics
from replication.answers import decode_events
from replication.client import PeerError
from replication.models import Region
from replication.send import live
from replication.send.bus_listener import Ephemeral
from replication.send.live import LiveLink


class Client:
    """A peer that takes everything, or is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.batches: list[list[bytes]] = []

    def post(self, _path: str, content: bytes) -> None:
        if self.is_away:
            raise PeerError("does not answer")
        self.batches.append(decode_events(content))


def event(number: int = 0, size: int = 0) -> bytes:
    return json.dumps({"pubkey": "ab" * 32, "kind": 24_133, "content": f"{number}" + "x" * size}).encode()


class Ended:
    """A link whose run ends as soon as it has begun."""

    def __init__(self, name: str, **settings: Any) -> None:
        self.client = Client()
        self.name = name
        self.link = LiveLink(Region(origin=7, name=name, **settings), self.client)  # type: ignore[arg-type]

    def offer(self, *texts: bytes, origin: int = 0) -> None:
        for text in texts:
            self.link.offer(Ephemeral(text, origin))

    def run(self) -> list[list[bytes]]:
        stop = threading.Event()
        stop.set()
        self.link.run(stop)
        return self.client.batches

    def counted(self, outcome: str) -> float:
        return float(metrics.ephemerals.labels(self.name, outcome)._value.get())


def test_what_is_queued_when_a_run_ends_is_sent() -> None:
    ended = Ended("live-1")
    ended.offer(event(1), event(2))
    assert ended.run() == [[event(1), event(2)]]
    assert ended.counted("sent") == 2


def test_the_end_of_a_run_need_not_wait_for_an_event() -> None:
    ended, stop = Ended("live-2"), threading.Event()
    thread = threading.Thread(target=ended.link.run, args=(stop,))
    thread.start()
    stop.set()
    ended.link.wake()
    thread.join(10)
    assert not thread.is_alive()


def test_for_a_peer_that_is_away_nothing_is_kept() -> None:
    ended = Ended("live-3")
    ended.client.is_away = True
    ended.offer(event(1), event(2))
    ended.run()
    ended.client.is_away = False
    ended.offer(event(3))
    assert ended.run() == []
    assert ended.counted("away") == 3


@pytest.mark.parametrize(("size", "kept"), [(0, 5), (400, 2)])
def test_the_queue_is_bounded_in_events_and_bytes(monkeypatch: pytest.MonkeyPatch, size: int, kept: int) -> None:
    monkeypatch.setattr(live, "MOST_QUEUED", 5)
    monkeypatch.setattr(live, "MOST_QUEUED_BYTES", 1_200)
    ended = Ended(f"live-4-{size}")
    ended.offer(*[event(number, size) for number in range(8)])
    assert [len(batch) for batch in ended.run()] == [kept]
    assert ended.counted("full") == 8 - kept


@pytest.mark.parametrize(("own_only", "sent"), [(True, [0]), (False, [0, 8])])
def test_an_event_is_handed_on_like_stored_ones_and_never_back(own_only: bool, sent: list[int]) -> None:
    ended = Ended(f"live-5-{own_only}", own_only=own_only)
    for origin in (0, 7, 8):
        ended.offer(event(origin), origin=origin)
    assert ended.run() == [[event(origin) for origin in sent]]


def test_what_is_no_event_is_passed_over() -> None:
    ended = Ended("live-6")
    ended.offer(b"", b"{}", b'{"pubkey":1,"kind":1}')
    assert ended.run() == []
