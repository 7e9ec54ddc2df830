"""Clients and relays of the conformance tests.

All share one relay with two workers; each test has an author of its own and asks for that author's events.
`small` is one more relay, with every limit so small that it can be met; `RELAY_` settings as in `SMALL`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.protocol.leaks import COPIES, SETTINGS
from tests.acceptance.relay_process import RelayProcess, running

SMALL = {
    "RELAY_MAX_MESSAGE_LENGTH": "4096",
    "RELAY_MAX_SUBSCRIPTIONS": "3",
    "RELAY_MAX_LIMIT": "8",
    "RELAY_DEFAULT_LIMIT": "4",
    "RELAY_MAX_SUBID_LENGTH": "20",
    "RELAY_MAX_EVENT_TAGS": "5",
    "RELAY_MAX_CONTENT_LENGTH": "20",
    "RELAY_CREATED_AT_LOWER_LIMIT": "3600",
    "RELAY_CREATED_AT_UPPER_LIMIT": "600",
    "RELAY_MAX_FILTERS": "3",
    "RELAY_QUERY_SECONDS": "1.5",  # short, and long enough for a machine that runs other tests
    "RELAY_WRITE_SECONDS": "1.5",
    "RELAY_PING_SECONDS": "1",
    "RELAY_SWEEP_SECONDS": "1",
    "RELAY_CACHE_LAYERS": "none",  # what is locked or slow in the database is to be met
}

OpenClients = Callable[..., Awaitable[list[Client]]]


@pytest.fixture
def author() -> Author:
    return Author()


@pytest.fixture
def other() -> Author:
    """A second author."""
    return Author()


@pytest_asyncio.fixture
async def client(relay: RelayProcess) -> AsyncIterator[Client]:
    """A connection to the shared relay."""
    async with Client(relay.ws_url) as connected:
        yield connected


@pytest_asyncio.fixture
async def clients(relay: RelayProcess) -> AsyncIterator[OpenClients]:
    """Opens more connections: with 8 on each side, both workers are on both sides in 98 of 100 runs."""
    async with AsyncExitStack() as stack:

        async def open_clients(number: int = 8) -> list[Client]:
            return [await stack.enter_async_context(Client(relay.ws_url)) for _ in range(number)]

        yield open_clients


@pytest.fixture(scope="session")
def small(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """A relay with one worker and the settings in `SMALL`, for the session; its jobs sweep each second."""
    with running(RelayProcess(copy_of_migrated("small"), settings=SMALL)) as process:
        yield process


@pytest.fixture(scope="package", params=COPIES)
def guarded(request: pytest.FixtureRequest, copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """Two workers that share a cache and guard private events. The tables of leaks fill it, the large one at last."""
    settings = {**SETTINGS, "RELAY_WINDOW_BYTES": COPIES[request.param]}
    with running(RelayProcess(copy_of_migrated("leaks"), workers=2, roles="web", settings=settings)) as process:
        yield process


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test opens, closed at its end."""
    async with AsyncExitStack() as opened:
        yield opened


@pytest_asyncio.fixture
async def small_client(small: RelayProcess) -> AsyncIterator[Client]:
    """A connection to the relay with small limits."""
    async with Client(small.ws_url) as connected:
        yield connected
