"""Rate limits of a whole relay: shared by its workers, by address, and with the shared cache away."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Ok
from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.faults.outages import OwnServers, Way
from tests.acceptance.relay_process import RelayProcess, running

REFUSED = "rate-limited: too many messages, slow down"
PROXY = {"RELAY_TRUSTED_PROXIES": "127.0.0.0/8", "RELAY_IP_LIMIT_EXEMPT": "192.0.2.0/24"}
STILL = "0.001"
"""Tokens a second: none while a test runs."""


async def clients(stack: AsyncExitStack, relay: RelayProcess, address: str, number: int = 8) -> list[Client]:
    """Connections of one address behind a proxy: with eight, both workers have some in 99 of 100 runs."""
    headers = {"X-Forwarded-For": address, "X-Forwarded-Proto": "http"}
    return [await stack.enter_async_context(Client(relay.ws_url, additional_headers=headers)) for _ in range(number)]


async def accepted(connections: list[Client], number: int, authors: Iterator[Author] | None = None) -> int:
    """How many of so many events are accepted, of the authors in turn, sent over the connections in turn."""
    authors = authors or itertools.repeat(Author())
    found = 0
    for text, client, author in zip(range(number), itertools.cycle(connections), authors, strict=False):
        answer = await client.publish(author.event(f"{text}"))
        assert answer.accepted or answer.text.startswith("rate-limited: ")
        found += answer.accepted
    return found


async def until_accepted(client: Client, number: int) -> None:
    """Publish until so many events are accepted. A worker whose cache does not answer for a moment refuses some."""
    author = Author()
    async with asyncio.timeout(30):
        while number:
            answer = await client.publish(author.event(f"{number}"))
            assert answer.accepted or answer.text.startswith("rate-limited: ")
            number -= answer.accepted


@pytest.fixture(scope="module")
def two_workers(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """80 events of an address, 80 of an author."""
    settings = {**PROXY, "RELAY_RATE_EVENTS": f"{STILL}:80", "RELAY_RATE_AUTHOR": f"{STILL}:80"}
    with running(RelayProcess(copy_of_migrated("rates"), workers=2, roles="web", settings=settings)) as relay:
        yield relay


@pytest.fixture(scope="module")
def one_worker(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """40 questions and 40 logins of an address, 100 kB at once and 200 kB in a second."""
    limits = {"QUESTIONS": f"{STILL}:40", "SIGN_INS": f"{STILL}:40", "BYTES": "200000:100000"}
    settings = {**PROXY, **{f"RELAY_RATE_{name}": limit for name, limit in limits.items()}}
    with running(RelayProcess(copy_of_migrated("rates"), roles="web", settings=settings)) as relay:
        yield relay


async def test_two_workers_share_the_limit_of_an_address_and_another_address_has_its_own(
    two_workers: RelayProcess,
) -> None:
    async with AsyncExitStack() as stack:
        authors = itertools.cycle([Author() for _ in range(12)])  # none meets the limit of an author
        first = await accepted(await clients(stack, two_workers, "203.0.113.1"), 240, authors)
        again = await accepted(await clients(stack, two_workers, "::ffff:203.0.113.1"), 40, authors)
        (other,) = await clients(stack, two_workers, "203.0.113.2", 1)
        await until_accepted(other, 60)

    assert 80 <= first + again <= 80 + 2 * 2 * 20
    assert again == 0


async def test_an_author_has_one_limit_from_all_addresses(two_workers: RelayProcess) -> None:
    author, found = Author(), 0
    async with AsyncExitStack() as stack:
        for number in range(8):
            sending = await clients(stack, two_workers, f"198.51.100.{number}", 1)
            found += await accepted(sending, 30, itertools.repeat(author))
        (client,) = await clients(stack, two_workers, "198.51.100.99", 1)
        forged = {**author.event("forged"), "sig": "0" * 128}
        assert (await client.publish(forged)).text.startswith("invalid: ")
        assert (await client.publish(Author().event("another"))).accepted

    assert 80 <= found <= 80 + 2 * 2 * 20


async def test_queries_above_the_limit_are_closed(one_worker: RelayProcess) -> None:
    async with AsyncExitStack() as stack:
        (client,) = await clients(stack, one_worker, "203.0.113.1", 1)
        answers = [(await client.request(f"s{number}", {"limit": 1})).closed for number in range(100)]

    assert answers[:10] == [None] * 10  # a worker's first grant
    assert answers.count(None) <= 40 + 2 * 10
    assert answers[-1] == REFUSED


async def test_42_9_logins_above_the_limit_of_an_address_are_refused_unverified(one_worker: RelayProcess) -> None:
    answers: list[Ok] = []
    async with AsyncExitStack() as stack:
        for client in await clients(stack, one_worker, "203.0.113.2"):
            answers += await client.log_in(*[Author() for _ in range(12)])

    accepted_ones = [answer for answer in answers if answer.accepted]
    assert 10 <= len(accepted_ones) <= 40 + 2 * 10  # a worker's first grant is 10
    assert {answer.text for answer in answers if not answer.accepted} == {REFUSED}


async def test_bytes_above_the_limit_wait_and_none_is_refused(one_worker: RelayProcess) -> None:
    author = Author()
    async with AsyncExitStack() as stack:
        (client,) = await clients(stack, one_worker, "203.0.113.3", 1)
        events = [author.event(f"{number}".ljust(20_000)) for number in range(15)]
        await client.publish_all(*events)


async def test_a_client_far_above_a_limit_is_disconnected_and_its_neighbour_is_not(one_worker: RelayProcess) -> None:
    async with AsyncExitStack() as stack:
        client, neighbour = await clients(stack, one_worker, "203.0.113.4", 2)
        for number in range(700):
            await client.send("REQ", f"s{number}", {"limit": 1})

        assert await client.closed() == 1008
        assert any(
            message == ["NOTICE", "rate-limited: far too many messages for a minute"] for message in client.unread
        )
        assert (await neighbour.publish(Author().event())).accepted


@pytest.fixture(scope="module")
def on_servers(servers: OwnServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """Two workers on servers that can be taken away; 40 events of an address in a second, 80 at once."""
    settings = {**PROXY, **servers.settings, "RELAY_RATE_EVENTS": "40:80"}
    folder = tmp_path_factory.mktemp("rates") / "var"
    with running(RelayProcess(folder, workers=2, roles="web", settings=settings)) as relay:
        yield relay


@pytest.mark.parametrize("way", ["gone", "hangs"])
async def test_without_the_shared_cache_each_worker_goes_on_with_its_share(
    on_servers: RelayProcess, servers: OwnServers, way: Way
) -> None:
    async with AsyncExitStack() as stack:
        connections = await clients(stack, on_servers, "203.0.113.1" if way == "gone" else "203.0.113.2")
        await accepted(connections, 200)
        servers.take_away("valkey", way)
        try:
            async with asyncio.timeout(20):
                for _ in range(4):
                    while not await accepted(connections, 8):
                        await asyncio.sleep(0.1)
        finally:
            servers.give_back("valkey", way)
        async with asyncio.timeout(20):
            while not await accepted(connections, 8):
                await asyncio.sleep(0.1)
