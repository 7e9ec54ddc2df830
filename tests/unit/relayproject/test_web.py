"""The places of relay workers: their sockets, and the numbers of the processes that follow one another."""

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from relayproject import settings
from relayproject.runtime.child import MAX_FAILED_STARTS, Child
from relayproject.runtime.errors import StartupError
from relayproject.runtime.web import WebWorkers
from tests.ports import free_port


class Started:
    """Workers that are ready as soon as they are kept, unless the test says otherwise; no process is started."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.works, self.is_late = True, False
        self.web = WebWorkers({}, self.keep, os.open(os.devnull, os.O_RDONLY))

    def keep(self, child: Child) -> None:
        self.children.append(child)
        if self.is_late:
            asyncio.get_running_loop().call_later(0.01, child.ready.set)
        elif self.works:
            child.ready.set()
        else:
            child.given_up.set()

    @property
    def names(self) -> list[str]:
        return [child.name.removeprefix("relay worker ") for child in self.children]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    for name, value in {"RELAY_WORKERS": 2, "RELAY_HOST": "127.0.0.1", "RELAY_PORT": free_port()}.items():
        monkeypatch.setattr(settings, name, value)
    found = Started()
    asyncio.run(found.web.start())
    yield found
    found.web.close_listeners()
    os.close(found.web.table)


def sockets(child: Child) -> str:
    return child.environment["RELAY_LISTENERS"]


def test_each_roll_uses_the_numbers_that_the_one_before_has_left_and_the_same_sockets(started: Started) -> None:
    for _ in range(2):
        asyncio.run(started.web.replace([], lambda _: None))
    assert started.names == ["1", "2", "3", "4", "1", "2"]
    assert [sockets(child) for child in started.children[:2]] * 3 == [sockets(child) for child in started.children]


def test_those_that_are_to_be_stopped_are_the_old_ones(started: Started) -> None:
    old: list[Child] = []
    asyncio.run(started.web.replace(old, lambda _: None))
    assert old == started.children[:2]


def test_a_successor_that_does_not_start_is_stopped_and_the_old_one_keeps_its_place_and_sockets(
    started: Started,
) -> None:
    before = [place.listeners for place in started.web.left()]
    started.works = False
    old: list[Child] = []
    with pytest.raises(StartupError, match="does not start"):
        asyncio.run(started.web.replace(old, lambda _: None))
    assert old == started.children[2:3]
    assert [(place.number, place.listeners) for place in started.web.left()] == list(zip((1, 2), before, strict=True))


def test_an_old_worker_that_does_not_start_does_not_end_the_roll_that_replaces_it(started: Started) -> None:
    old, started.is_late = started.children[0], True
    old.ready.clear()
    old.failed_starts = MAX_FAILED_STARTS - 1

    def fail(text: str) -> None:
        if text.endswith("1 of 2"):  # while the first successor is waited for
            asyncio.get_running_loop().call_soon(end_once_more, old)

    asyncio.run(started.web.replace([], fail))
    assert started.names == ["1", "2", "3", "4"]


def end_once_more(child: Child) -> None:
    """As Child.keep."""
    child._count_start()
    assert child.on_end is not None
    child.on_end(child)


def test_connections_to_a_worker_that_died_are_refused_until_the_next_one_listens(started: Started) -> None:
    for place in started.web.left():
        for number in place.listeners:
            with socket.socket(fileno=os.dup(number)) as listener:
                listener.listen()
    first, second = started.children
    for child in (first, second):
        with socket.create_connection(("127.0.0.1", settings.RELAY_PORT), timeout=5):
            pass
        assert child.on_end is not None
        child.on_end(child)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", settings.RELAY_PORT), timeout=5)
    left = [",".join(map(str, place.listeners)) for place in started.web.left()]
    assert left == [sockets(first), sockets(second)]
    assert all(int(sockets(child)) in child.descriptors for child in (first, second))


def test_a_worker_that_dies_while_its_successor_starts_leaves_it_the_sockets(started: Started) -> None:
    """With new ones in its place, clients would wait in sockets from which no process accepts."""
    before = [place.listeners for place in started.web.left()]

    def die(text: str) -> None:
        old = started.children[0 if text.endswith("1 of 2") else 1]
        assert old.on_end is not None
        asyncio.get_running_loop().call_soon(old.on_end, old)  # while the successor is waited for

    asyncio.run(started.web.replace([], die))
    assert [place.listeners for place in started.web.left()] == before
    assert [sockets(child) for child in started.children[2:]] == [",".join(map(str, each)) for each in before]
