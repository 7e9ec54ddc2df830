"""Region `us` as a whole relay, and the test as its peer `eu`."""

from collections.abc import Iterator

import pytest

from replication.client import PeerClient
from replication.models import Region
from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.relay_process import RelayProcess, all_running, running
from tests.integration.storage.conftest import database, scribe, tables  # noqa: F401
from tests.ports import free_port

SECRET = "the secret of eu and us: 0123456789abcdefghi"
EU_URL = "wss://eu.relay.example"


def peer(relay: RelayProcess, name: str = "us", secret: str = SECRET) -> Region:
    """The relay as a peer of another region; it is not saved."""
    region = Region(name=name, endpoint=relay.http_url)
    region.rotate(secret)
    return region


@pytest.fixture(scope="module")
def us(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """Region `us`, which takes what `eu` signs."""
    process = RelayProcess(
        copy_of_migrated("us"),
        settings={
            "RELAY_REGION": "us",
            "RELAY_PEERS": f"eu=http://127.0.0.1:1?secret={SECRET.replace(' ', '+')}&relay={EU_URL}",
            "RELAY_MIN_POW_DIFFICULTY": "0",
        },
    )
    with running(process):
        yield process


@pytest.fixture(scope="module")
def pair(copy_of_migrated: CopyOfMigrated) -> Iterator[tuple[RelayProcess, RelayProcess]]:
    """Regions `eu` and `us`, whole relays that replicate to each other."""
    ports = {"eu": free_port(), "us": free_port()}
    relays = []
    for name, other in (("eu", "us"), ("us", "eu")):
        settings = {
            "RELAY_REGION": name,
            "RELAY_PORT": str(ports[name]),
            "RELAY_PEERS": f"{other}=http://127.0.0.1:{ports[other]}?secret={SECRET.replace(' ', '+')}",
        }
        relays.append(RelayProcess(copy_of_migrated(name), settings=settings))
    with all_running(*relays):
        yield relays[0], relays[1]


@pytest.fixture
def eu(us: RelayProcess) -> Iterator[PeerClient]:
    """A client of `us` that signs as `eu`."""
    with PeerClient(peer(us), "eu") as client:
        yield client
