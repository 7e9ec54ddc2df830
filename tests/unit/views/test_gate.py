"""Django's requests: at most one for each thread, a bounded wait, no thread for a client that does not read."""

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from relay.views import sending
from relay.views.gate import PER_NETWORK, WAITING, Gate

LIMIT_SECONDS = 10


class Inner:
    """An application whose work in its thread lasts until `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.running = 0
        self.most = 0
        self.threads = set[str]()
        self._lock = threading.Lock()

    def work(self) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.threads.add(threading.current_thread().name)
        self.go_on.wait(LIMIT_SECONDS)
        with self._lock:
            self.running -= 1

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await sync_to_async(self.work)()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


async def ask(gate: Gate, address: str) -> int:
    """The status of the answer to a client."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return await asyncio.Event().wait()

    await gate({"type": "http", "client": (address, 1)}, receive, send)
    return int(sent[0]["status"])


def addresses(number: int) -> list[str]:
    return [f"203.0.113.{place}" for place in range(number)]


async def until(true: Any) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not true():
            await asyncio.sleep(0.005)


async def test_so_many_run_so_many_wait_and_the_others_are_refused_at_once() -> None:
    inner = Inner()
    gate = Gate(inner, 3)
    tasks = [asyncio.create_task(ask(gate, address)) for address in addresses(3 + WAITING + 20)]
    async with asyncio.timeout(LIMIT_SECONDS):
        refused = [await task for task in tasks[3 + WAITING :]]
        assert refused == [503] * 20
        inner.go_on.set()
        assert [await task for task in tasks[: 3 + WAITING]] == [200] * (3 + WAITING)
    assert inner.most == 3
    assert len(inner.threads) == 3


async def test_one_network_leaves_room_for_others() -> None:
    inner = Inner()
    gate = Gate(inner, 2)
    tasks = [asyncio.create_task(ask(gate, f"2001:db8::{place}")) for place in range(PER_NETWORK + 5)]
    async with asyncio.timeout(LIMIT_SECONDS):
        assert [await task for task in tasks[PER_NETWORK:]] == [503] * 5
        other = asyncio.create_task(ask(gate, "203.0.113.1"))
        inner.go_on.set()
        assert await other == 200
        assert [await task for task in tasks[:PER_NETWORK]] == [200] * PER_NETWORK


async def test_the_wait_has_an_end_and_a_later_request_gets_the_thread() -> None:
    inner = Inner()
    gate = Gate(inner, 1, wait_seconds=0.05)
    first = asyncio.create_task(ask(gate, "203.0.113.1"))
    await until(lambda: inner.running == 1)
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await ask(gate, "203.0.113.2") == 503
        inner.go_on.set()
        assert await first == 200
        gate = Gate(inner, 1, wait_seconds=0.05)
        assert await ask(gate, "203.0.113.2") == 200


async def test_the_thread_of_a_client_that_left_is_free_only_after_its_work() -> None:
    inner = Inner()
    gate = Gate(inner, 1)
    for place in range(5):
        task = asyncio.create_task(ask(gate, f"203.0.113.{place}"))
        await until(lambda: inner.running == 1)
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    waiting = asyncio.create_task(ask(gate, "203.0.113.9"))
    await asyncio.sleep(0)
    assert not waiting.done()
    inner.go_on.set()
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await waiting == 200
    assert (inner.most, len(inner.threads)) == (1, 1)


async def test_a_response_that_does_not_come_is_given_up_and_its_thread_is_free_only_after_its_work() -> None:
    inner = Inner()
    gate = Gate(inner, 1, wait_seconds=LIMIT_SECONDS, response_seconds=0.05)

    assert await ask(gate, "203.0.113.1") == 503
    second = asyncio.create_task(ask(gate, "203.0.113.1"))
    await asyncio.sleep(0)
    assert inner.running == 1
    inner.go_on.set()
    assert await second == 200
    assert inner.most == 1


async def test_a_client_that_does_not_read_holds_no_thread() -> None:
    inner = Inner()
    inner.go_on.set()
    gate = Gate(inner, 1)
    stuck = asyncio.Event()

    async def send(message: Any) -> None:
        stuck.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(gate({"type": "http", "client": ("203.0.113.1", 1)}, None, send))
    async with asyncio.timeout(LIMIT_SECONDS):
        await stuck.wait()
        assert await ask(gate, "203.0.113.2") == 200
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_large_unread_responses_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "LIMIT_BYTES", 1_000_000)
    statuses: list[int] = []
    read = asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        elif message.get("more_body"):
            await read.wait()

    large = [asyncio.create_task(sending.send_response(200, [], b"x" * 400_000, send)) for _ in range(5)]
    small = asyncio.create_task(sending.send_response(200, [], b"x", send))
    async with asyncio.timeout(LIMIT_SECONDS):
        await small
        await until(lambda: len(statuses) == 6)
        assert sorted(statuses) == [200, 200, 200, 503, 503, 503]
        read.set()
        await asyncio.gather(*large)
        await sending.send_response(200, [], b"x" * 400_000, send)
    assert statuses[-1] == 200
