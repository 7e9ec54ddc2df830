"""Two client libraries of other projects, connected to the session's relay with two workers."""

from collections.abc import AsyncIterator

import pytest

from tests.acceptance.clients import nostr_tools_client
from tests.acceptance.clients.nostr_sdk_client import NostrSdkClient
from tests.acceptance.clients.nostr_tools_client import NostrToolsClient
from tests.acceptance.clients.real_client import RealClient
from tests.acceptance.relay_process import RelayProcess


@pytest.fixture(scope="session")
def nostr_tools_installed() -> None:
    """Installs the pinned nostr-tools once; the tests that need it are skipped where that is not possible."""
    try:
        nostr_tools_client.install()
    except nostr_tools_client.NotInstalled as missing:
        pytest.skip(str(missing))


@pytest.fixture
async def nostr_sdk(relay: RelayProcess) -> AsyncIterator[NostrSdkClient]:
    client = await NostrSdkClient.connected(relay.ws_url)
    yield client
    await client.close()


@pytest.fixture
async def nostr_tools(relay: RelayProcess, nostr_tools_installed: None) -> AsyncIterator[NostrToolsClient]:
    client = await NostrToolsClient.connected(relay.ws_url)
    yield client
    await client.close()


@pytest.fixture(params=["nostr_sdk", "nostr_tools"])
def client(request: pytest.FixtureRequest) -> RealClient:
    """Each of the two libraries in turn."""
    connected: RealClient = request.getfixturevalue(request.param)
    return connected
