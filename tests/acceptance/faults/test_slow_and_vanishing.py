"""Clients that do not read or leave without a close frame: no other client is affected, and nothing is left of them."""

import asyncio
import json
import socket
import time
from contextlib import AsyncExitStack
from typing import Any

from tests.acceptance.client import Client
from tests.acceptance.faults.load import Listener, Publisher, new_author, until
from tests.acceptance.faults.workers import client_of, is_served, memory_megabytes, worker_of
from tests.acceptance.relay_process import RelayProcess
from tests.events import sign_event

BIG = "x" * 100_000
CUT_OFF_AFTER = 300
"""Events of that size: what the kernel buffers of both ends can hold and the outbox, several times."""


def sleepy_client(port: int) -> Client:
    """A client that stops reading as soon as a few kilobytes wait for it."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    narrow.connect(("127.0.0.1", port))
    return Client(f"ws://127.0.0.1:{port}", sock=narrow, max_queue=1, close_timeout=0.1)


def status(relay: RelayProcess) -> tuple[int, int, int]:
    """Workers, and the open connections and subscriptions of all of them."""
    figures: dict[str, Any] = json.loads(relay.get("/api/status")[1])
    return figures["workers"], figures["connections"], figures["subscriptions"]


async def test_a_client_that_never_reads_is_cut_off_and_the_others_get_everything(sturdy_relay: RelayProcess) -> None:
    author = new_author()
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(sleepy_client(sturdy_relay.port))
        await slow.send("REQ", "everything", {"limit": 0})
        worker = worker_of(sturdy_relay, slow)
        publishing = await stack.enter_async_context(client_of(sturdy_relay, worker))
        listeners = [
            Listener(await stack.enter_async_context(client_of(sturdy_relay, pid))) for pid in sturdy_relay.workers()
        ]
        for listener in listeners:
            await listener.start({"authors": [Publisher(publishing, author).pubkey]})
        before = memory_megabytes(worker)

        published: list[str] = []
        while is_served(sturdy_relay.port, [worker], slow):
            assert len(published) < CUT_OFF_AFTER, "the slow client was not cut off"
            event = sign_event(author, content=BIG, created_at=int(time.time()), tags=[["n", str(len(published))]])
            assert (await publishing.publish(event)).accepted
            published.append(event["id"])

        for listener in listeners:
            await listener.has(published)
            await listener.stop()
            assert listener.ids == published
        assert memory_megabytes(worker) - before < 64


async def test_clients_that_vanish_in_the_middle_of_a_query_leave_nothing(sturdy_relay: RelayProcess) -> None:
    author = new_author()
    async with Client(sturdy_relay.ws_url) as client:
        now = int(time.time())
        notes = [sign_event(author, content="y" * 2_000, created_at=now - age) for age in range(300)]
        await client.publish_all(*notes)

        async def vanish(number: int) -> None:
            async with Client(sturdy_relay.ws_url, close_timeout=0.1) as vanishing:
                for query in range(3):
                    await vanishing.send("REQ", str(query), {"authors": [notes[0]["pubkey"]]})
                if number % 2:
                    await vanishing.next()
                vanishing.socket.transport.abort()

        await until(lambda: status(sturdy_relay) == (2, 1, 0), "the count of this connection alone")
        await asyncio.gather(*(vanish(number) for number in range(20)))  # what is allocated once is allocated now
        before = [memory_megabytes(pid) for pid in sturdy_relay.workers()]
        for start in range(0, 180, 20):
            await asyncio.gather(*(vanish(number) for number in range(start, start + 20)))

        await until(lambda: status(sturdy_relay) == (2, 1, 0), "the count of this connection alone")
        after = [memory_megabytes(pid) for pid in sturdy_relay.workers()]
        assert max(b - a for a, b in zip(before, after, strict=True)) < 64
        assert len((await client.query({"authors": [notes[0]["pubkey"]]})).ids) == 300
