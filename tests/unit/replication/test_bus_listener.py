"""What senders take from the bus, on which others may publish as well."""

from typing import Any

import pytest

from replication.send.bus_listener import BusListener, Ephemeral, Subscriber


@pytest.mark.parametrize("ephemeral", ["text", 10**12, None, ["a"]])
def test_what_is_no_event_is_passed_over(ephemeral: Any) -> None:
    assert told({"ephemeral": ephemeral, "origin": 1}) == []


def test_an_ephemeral_event_is_handed_on_with_its_origin() -> None:
    assert told({"ephemeral": b"{}", "origin": 1}) == [Ephemeral(b"{}", 1)]
    assert told({"ephemeral": b"{}"}) == [Ephemeral(b"{}", 0)]


def told(message: dict[str, Any]) -> list[Ephemeral]:
    found: list[Ephemeral] = []
    listener = BusListener((), "group")
    listener._subscribers = frozenset({Subscriber(lambda: None, found.append)})
    listener._tell(message)
    return found
