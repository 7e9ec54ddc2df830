"""What operators rule is in force on every instance within a second while bus and shared cache are away (X-6): two
`serve` on one PostgreSQL, which is all that they still share.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.exceptions import WebSocketException

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.faults.outages import OwnServers, Way
from tests.acceptance.faults.readiness import say_degraded
from tests.acceptance.operators import as_operator, ban, lift, put, remove
from tests.acceptance.relay_process import RelayProcess, all_running

Json = dict[str, Any]

SECONDS = 1.0
"""X-6. The test waits longer only for a machine that is busy."""
PATIENCE = 5 * SECONDS
NOTICED_SECONDS = 6.0
BLOCKED = "127.0.0.7"
DENIED = 1_111


@pytest.fixture(scope="module")
def instances(servers: OwnServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RelayProcess]]:
    """One with a window and one with pages."""
    relays: list[RelayProcess] = []
    for name, window in (("one", "67108864"), ("two", "0")):
        settings = {**servers.settings, "RELAY_INSTANCE": name, "RELAY_WINDOW_BYTES": window}
        relays.append(RelayProcess(tmp_path_factory.mktemp(name) / "var", roles="web", settings=settings))
    with all_running(*relays):
        yield relays


async def in_force(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as it holds."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            await asyncio.sleep(0.02)


class Case:
    """A key that is banned, an event that is removed, and a gift wrap for the banned key."""

    def __init__(self) -> None:
        self.banned, self.other, wrapping = Author(), Author(), Author()
        self.spam, self.illegal = self.banned.event("spam"), self.other.event("illegal")
        self.wrap = wrapping.event("wrap", kind=1_059, tags=[["p", self.banned.pubkey]])
        self.questions: Sequence[Json] = [
            {"authors": [self.banned.pubkey, self.other.pubkey]},
            {"ids": [self.spam["id"], self.illegal["id"]]},
        ]


class Readers:
    """Connections to one instance: of a reader, of the key that will be banned, and from the blocked network."""

    def __init__(self, relay: RelayProcess, stack: AsyncExitStack) -> None:
        self._relay = relay
        self._stack = stack
        self.reader, self.banned = Client(relay.ws_url), Client(relay.ws_url)
        self.blocked = Client(relay.ws_url, local_addr=(BLOCKED, 0))

    async def begin(self, case: Case) -> None:
        for client in (self.reader, self.banned, self.blocked):
            await self._stack.enter_async_context(client)
        assert (await self.banned.log_in(case.banned))[0].accepted

    async def hold(self, case: Case) -> None:
        """Have all of it in the copies."""
        for _ in range(3):
            for question in case.questions:
                assert set((await self.reader.query(question)).ids) == {case.spam["id"], case.illegal["id"]}
        assert (await self.banned.query({"kinds": [1_059]})).events == [case.wrap]

    async def assert_ruled(self, case: Case) -> None:
        """Nothing is stored against the rules from the first moment on; the rest holds within a second."""
        for event in (case.illegal, case.banned.event("more")):
            assert (await self.reader.publish(event)).text.startswith("blocked: ")
        await in_force(self._denies_the_kind)
        await in_force(lambda: self._serves_nothing(case))
        await in_force(self._has_taken_the_login)
        assert await self.blocked.closed(PATIENCE) == 1_008
        await in_force(self._is_shut)

    async def assert_lifted(self, case: Case) -> None:
        """The key publishes, and clients of the network are let in."""

        async def takes() -> bool:
            answers = [await self.reader.publish(event) for event in (case.illegal, case.banned.event("again"))]
            return all(answer.accepted for answer in answers)

        async def lets_in() -> bool:
            return not await self._is_shut()

        await in_force(takes)
        await in_force(lets_in)

    async def _denies_the_kind(self) -> bool:
        return (await self.reader.publish(Author().event(kind=DENIED))).text.startswith("blocked: ")

    async def _serves_nothing(self, case: Case) -> bool:
        return not any([(await self.reader.query(question)).events for question in case.questions])

    async def _has_taken_the_login(self) -> bool:
        found = await self.banned.query({"kinds": [1_059]})
        return found.events == [] and (found.closed or "").startswith("auth-required: ")

    async def _is_shut(self) -> bool:
        try:
            async with Client(self._relay.ws_url, local_addr=(BLOCKED, 0)):
                return False
        except (OSError, WebSocketException):
            return True


@asynccontextmanager
async def away(servers: OwnServers, way: Way) -> AsyncIterator[None]:
    """Without Valkey."""
    servers.take_away("valkey", way)
    try:
        yield
    finally:
        servers.give_back("valkey", way)


@pytest.mark.parametrize("way", ["gone", "hangs"])
async def test_x_6_what_operators_rule_is_in_force_on_both_instances_without_cache_and_bus(
    instances: list[RelayProcess], servers: OwnServers, way: Way
) -> None:
    """Ruled as the outage begins, before any worker has noticed it; lifted when all have."""
    case = Case()
    database = servers.postgres.url
    async with AsyncExitStack() as stack:
        places = [Readers(relay, stack) for relay in instances]
        for place in places:
            await place.begin(case)
        await places[0].reader.publish_all(case.spam, case.illegal, case.wrap)
        for place in places:
            await place.hold(case)
        rules = [("blocked_network", f"{BLOCKED}/32"), ("denied_kind", str(DENIED))]

        async with away(servers, way):
            ruled = [put(*rule) for rule in rules] + [ban(case.banned), remove(case.illegal["id"])]
            await asyncio.to_thread(as_operator, database, ruled)
            await asyncio.gather(*[place.assert_ruled(case) for place in places])

            await asyncio.gather(*[say_degraded(relay, True, NOTICED_SECONDS) for relay in instances])
            lifted = [lift(*rule) for rule in rules] + [lift("banned_key", case.banned.pubkey)]
            lifted.append(f"SELECT relay_unban_event('\\x{case.illegal['id']}', '', 'test')")
            await asyncio.to_thread(as_operator, database, lifted)
            await asyncio.gather(*[place.assert_lifted(case) for place in places])
        await asyncio.gather(*[say_degraded(relay, False, NOTICED_SECONDS) for relay in instances])
