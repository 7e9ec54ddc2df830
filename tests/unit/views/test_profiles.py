"""`GET /api/profiles`: while the database does not answer, for profiles that are too large, and who is charged."""

import asyncio
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import RequestFactory

from relay.metrics import counters
from relay.protocol.errors import RateLimited
from relay.protocol.rates import OFF, Rate, RateSettings
from relay.services.connections import Connections
from relay.services.rates import Rates
from relay.storage.profiles import TooLarge
from relay.views import profiles


class Hung:
    """The profiles of a relay whose database hangs."""

    async def newest(self, _pubkeys: Any, _owner: str) -> Any:
        await asyncio.Event().wait()


class Large:
    """The profiles of a relay whose authors have published large ones."""

    async def newest(self, _pubkeys: Any, _owner: str) -> Any:
        raise TooLarge


class Asked:
    """Profiles that notes who asks for them; the queue of the owner `full` is full."""

    def __init__(self, full: str = "") -> None:
        self.owners: list[str] = []
        self._full = full

    async def newest(self, _pubkeys: Any, owner: str) -> Any:
        if owner == self._full:
            raise RateLimited("too many of your queries wait for the database")
        self.owners.append(owner)
        return {}


class OfRelay:
    """What the view asks of a relay."""

    def __init__(self, of: Any, questions: Rate = OFF) -> None:
        self.config = SimpleNamespace(query_seconds=0.01)
        self.profiles = of
        self.rates = Rates(RateSettings(questions=questions), [ip_network("127.0.0.0/8")])
        conf: Any = SimpleNamespace(
            instance="", max_connections=9, max_connections_per_ip=9, ip_limit_exempt=(ip_network("127.0.0.0/8"),)
        )
        services: Any = None
        self.connections = Connections(conf, services, lambda: None)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    async def answer(relay: OfRelay, address: str = "203.0.113.7") -> Any:
        async def started() -> Any:
            return relay

        monkeypatch.setattr(profiles, "started_relay", started)
        request = RequestFactory().get("/api/profiles", {"pubkey": "ab" * 32}, REMOTE_ADDR=address)
        async with asyncio.timeout(10):
            return await profiles.profiles(request)

    return answer


async def test_the_answer_is_503_within_the_time_of_a_query(ask: Any) -> None:
    assert (await ask(OfRelay(Hung()))).status_code == 503


async def test_profiles_that_were_not_read_because_they_are_too_large_are_refused(ask: Any) -> None:
    response = await ask(OfRelay(Large()))

    assert response.status_code == 413
    assert "fewer" in response.content.decode()


async def test_the_queries_are_on_the_account_of_the_clients_network(ask: Any) -> None:
    asked = Asked()
    for address in ("203.0.113.7", "2001:db8:1:2:3::4", "unix"):
        assert (await ask(OfRelay(asked), address)).status_code == 200
    assert asked.owners == ["203.0.113.7", "2001:db8:1:2::", "unknown"]


async def test_a_network_above_its_rate_of_questions_is_told_so_and_others_are_answered(ask: Any) -> None:
    asked = Asked()
    relay = OfRelay(asked, Rate(0.001, 2))
    before = counters.rate_limited["questions"]

    statuses = [(await ask(relay, f"2001:db8::{place}")).status_code for place in range(4)]

    assert statuses[-1] == 429
    assert counters.rate_limited["questions"] - before == statuses.count(429) == 4 - len(asked.owners)
    assert (await ask(relay, "2001:db8::1"))["Retry-After"] == "1"
    assert (await ask(relay, "203.0.113.7")).status_code == 200
    assert [(await ask(relay, "127.0.0.1")).status_code for _ in range(4)] == [200] * 4


async def test_a_network_whose_queries_fill_its_share_of_the_queue_is_told_so(ask: Any) -> None:
    assert (await ask(OfRelay(Asked(full="203.0.113.7")))).status_code == 429
