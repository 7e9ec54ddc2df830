"""Django's requests: at most one for each thread, a bounded wait, no thread for a client that sends or reads slowly."""

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from relay.views import body, sending
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


class Upload:
    """ASGI's `receive`: the parts of a body as they come, then nothing until the client leaves."""

    def __init__(self, *parts: bytes) -> None:
        self._messages = asyncio.Queue[Any]()
        for part in parts:
            self.comes(part)

    def comes(self, part: bytes, *, is_last: bool = False) -> None:
        self._messages.put_nowait({"type": "http.request", "body": part, "more_body": not is_last})

    def leaves(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def __call__(self) -> Any:
        return await self._messages.get()


def nothing() -> Upload:
    upload = Upload()
    upload.comes(b"", is_last=True)
    return upload


async def ask(gate: Gate, address: str, upload: Upload | None = None) -> int:
    """The status of the answer to a client; 0 if it gets none."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", b"9")] if upload else [(b"content-length", b"0")]
    await gate({"type": "http", "client": (address, 1), "headers": headers}, upload or nothing(), send)
    return int(sent[0]["status"]) if sent else 0


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

    task = asyncio.create_task(gate({"type": "http", "client": ("203.0.113.1", 1)}, nothing(), send))
    async with asyncio.timeout(LIMIT_SECONDS):
        await stuck.wait()
        assert await ask(gate, "203.0.113.2") == 200
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_client_that_sends_its_body_slowly_holds_no_thread() -> None:
    inner = Inner()
    inner.go_on.set()
    gate = Gate(inner, 1)
    slow = Upload(b"user")
    tasks = [asyncio.create_task(ask(gate, "203.0.113.1", slow)) for _ in range(PER_NETWORK)]
    async with asyncio.timeout(LIMIT_SECONDS):
        await until(lambda: sum(gate._by_network.values()) == PER_NETWORK)
        assert await ask(gate, "203.0.113.2") == 200
        for _ in tasks:
            slow.comes(b"name=", is_last=True)
        assert [await task for task in tasks] == [200] * PER_NETWORK


async def test_the_application_gets_the_body_as_it_was_sent_and_hears_that_the_client_leaves() -> None:
    received: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        received.extend([await receive(), await receive()])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    upload = Upload(b"user", b"name")
    upload.comes(b"=a", is_last=True)
    upload.leaves()
    assert await ask(Gate(inner, 1), "203.0.113.1", upload) == 200
    assert received == [
        {"type": "http.request", "body": b"username=a", "more_body": False},
        {"type": "http.disconnect"},
    ]


async def test_a_body_above_the_bound_of_this_relay_is_not_collected_in_memory() -> None:
    received: list[int] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        received.extend([len((await receive())["body"]) for _ in range(2)])
        await send({"type": "http.response.start", "status": 413, "headers": []})

    upload = Upload(*[b"x" * 40_000] * 3)
    assert await ask(Gate(inner, 1), "203.0.113.1", upload) == 413
    assert received == [80_000, 40_000]


async def test_a_client_that_leaves_before_the_end_of_its_body_is_not_answered() -> None:
    inner = Inner()
    upload = Upload(b"user")
    upload.leaves()
    assert await ask(Gate(inner, 1), "203.0.113.1", upload) == 0
    assert not inner.threads


async def test_a_body_without_end_is_given_up() -> None:
    assert await ask(Gate(Inner(), 1, response_seconds=0.05), "203.0.113.1", Upload(b"user")) == 503


async def test_so_many_bodies_are_read_and_requests_without_one_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "READING", 3)
    inner = Inner()
    inner.go_on.set()
    gate = Gate(inner, 1)
    slow = [Upload(b"user") for _ in range(3)]
    tasks = [asyncio.create_task(ask(gate, *each)) for each in zip(addresses(3), slow, strict=True)]
    async with asyncio.timeout(LIMIT_SECONDS):
        await until(lambda: gate._bodies._reading == 3)
        assert await ask(gate, "203.0.113.9", Upload(b"user")) == 503
        assert await ask(gate, "203.0.113.9") == 200
        slow[0].leaves()
        assert await tasks[0] == 0
        whole = Upload()
        whole.comes(b"username=", is_last=True)
        assert await ask(gate, "203.0.113.9", whole) == 200
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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
