"""What senders take from the bus, on which others may publish as well."""

import threading
from typing import Any

import pytest

from replication.send import bus_listener
from replication.send.bus_listener import BusListener, Ephemeral, Subscriber


@pytest.mark.parametrize("ephemeral", ["text", 10**12, None, ["a"]])
def test_what_is_no_event_is_passed_over(ephemeral: Any) -> None:
    assert told({"ephemeral": ephemeral, "origin": 1}) == []


def test_an_ephemeral_event_is_handed_on_with_its_origin() -> None:
    assert told({"ephemeral": b"{}", "origin": 1}) == [Ephemeral(b"{}", 1)]
    assert told({"ephemeral": b"{}"}) == [Ephemeral(b"{}", 0)]


def test_a_listener_that_has_failed_is_begun_again_for_the_next_subscriber(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Semaphore(0)

    def fail(_url: str) -> None:
        begun.release()
        raise RuntimeError("an unforeseen fault")

    monkeypatch.setattr(bus_listener, "servers_of", fail)
    listener = BusListener(("redis://127.0.0.1:1",), "group")
    for _ in range(2):
        with listener.subscribed(Subscriber(lambda: None, lambda event: None)):
            assert begun.acquire(timeout=10)
            thread = listener._thread
            if thread is not None:
                thread.join(10)


def told(message: dict[str, Any]) -> list[Ephemeral]:
    found: list[Ephemeral] = []
    listener = BusListener((), "group")
    listener._subscribers = frozenset({Subscriber(lambda: None, found.append)})
    listener._tell(message)
    return found
