"""Three regions with a real database each end with the same events: what one store would serve that got all of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from relay.conf import config
from relay.ingest.outcome import Status
from relay.transfer.verifier import Settings
from relay.transfer.verifiers import Verifiers
from replication.models import Lane
from tests.events import pubkey_of, secret, sign_event
from tests.integration.replication.sites import Link, Site, equalise, sites
from tests.integration.storage.gone import Json, address, served, vanishes

pytestmark = pytest.mark.django_db(transaction=True)

TOTAL = 3
AUTHORS = (1, 2, 3)
LINKS = list(permutations(range(1, TOTAL + 1), 2))

site = st.integers(0, TOTAL - 1)
author = st.sampled_from(AUTHORS)
link = st.sampled_from(LINKS)
publishing = st.tuples(
    st.just("publish"), site, author, st.sampled_from([0, 1, 7, 10_002, 30_023]), st.sampled_from("xy"),
    st.integers(0, 9),
)  # fmt: skip
deleting = st.tuples(st.just("delete"), site, st.integers(0, 30), st.integers(0, 3), st.sampled_from([0, 0, 0, 1]))
vanishing = st.tuples(st.just("vanish"), site, author, st.integers(0, 9))
again = st.tuples(st.just("again"), site, st.integers(0, 30))
sending = st.tuples(
    st.just("send"), link, st.sampled_from(list(Lane)), st.sampled_from(["ok", "ok", "lost", "unanswered"])
)
losing = st.tuples(st.just("lose"), link)
comparing = st.tuples(st.just("reconcile"), link)
equalising = st.tuples(st.just("equalise"))


def often(strategy: st.SearchStrategy[Any], times: int) -> list[st.SearchStrategy[Any]]:
    """So many strategies like it: `one_of` counts the same one once."""
    return [strategy.map(lambda drawn: drawn) for _ in range(times)]


steps = st.lists(
    st.one_of(*often(publishing, 8), *often(deleting, 3), *often(sending, 4), vanishing, again, losing, comparing,
              equalising),
    min_size=8, max_size=30,
)  # fmt: skip


class World:
    """The regions, what clients have published, and what of it was taken."""

    def __init__(self, made: list[Site], verifiers: Verifiers) -> None:
        self.sites = made
        self.verifiers = verifiers
        self.links: dict[tuple[int, int], Link] = {}
        self.published: list[Json] = []
        self.taken: list[Json] = []
        self.everywhere = 0
        """So many of the first events are known in all regions, or were never taken."""
        self.now = int(time.time()) - 1_000

    def begin(self) -> None:
        for each in self.sites:
            each.clear()
        loop = asyncio.get_running_loop()
        self.links = {(one, other): Link(self.sites[one - 1], self.sites[other - 1], loop) for one, other in LINKS}
        self.published, self.taken, self.everywhere = [], [], 0

    async def _offer(self, number: int, event: Json) -> None:
        self.published.append(event)
        if await self.sites[number].publish(event) in {Status.STORED, Status.DUPLICATE, Status.OUTDATED}:
            self.taken.append(event)

    async def _publish(self, number: int, who: int, kind: int, d: str, at: int) -> None:
        tags = [["d", d]] if kind == 30_023 else []
        content = str(len(self.published))
        await self._offer(
            number, sign_event(secret(who), kind=kind, tags=tags, content=content, created_at=self.now + at)
        )

    async def _delete(self, number: int, which: int, later: int, stranger: int) -> None:
        """By its author, or by a key that may not. Of a version that is deleted by its id alone, a region that never
        got it keeps the version before (docs/operations/regions.md).
        """
        if not self.published:
            return
        which %= len(self.published)
        target = self.published[which]
        place = address(target)
        if place is None or which < self.everywhere:
            tags = [["e", target["id"]]]
        else:
            key, kind, d = place
            tags = [["a", f"{kind}:{key}:{d}"]]
        keys = [pubkey_of(secret(number)) for number in AUTHORS]
        by = AUTHORS[(keys.index(target["pubkey"]) + stranger) % len(AUTHORS)]
        await self._offer(number, sign_event(secret(by), kind=5, tags=tags, created_at=target["created_at"] + later))

    async def _vanish(self, number: int, who: int, at: int) -> None:
        tags = [["relay", "ALL_RELAYS"]]
        await self._offer(number, sign_event(secret(who), kind=62, tags=tags, created_at=self.now + at))

    async def _again(self, number: int, which: int) -> None:
        if self.published:
            await self._offer(number, self.published[which % len(self.published)])

    async def _send(self, both: tuple[int, int], lane: Lane, fate: str) -> None:
        await self.links[both].step(lane, fate)

    async def _lose(self, both: tuple[int, int]) -> None:
        self.links[both].lose()

    async def _reconcile(self, both: tuple[int, int]) -> None:
        await self.links[both].reconcile(self.verifiers, int(time.time()))

    async def _equalise(self) -> None:
        await equalise(self.links, TOTAL, self.verifiers, int(time.time()))
        self.everywhere = len(self.published)

    async def run(self, history: list[tuple[Any, ...]]) -> None:
        for name, *arguments in history:
            await getattr(self, f"_{name}")(*arguments)
        await self._equalise()

    def expected(self) -> set[str]:
        """What is served when all has come, requests to vanish first: what they take away deletes nothing any more."""
        return served(sorted(self.taken, key=lambda event: not vanishes(event))).ids()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    verifiers = Verifiers(Settings(config().limits, False), 1)
    await verifiers.start()
    try:
        async with sites(TOTAL) as made:
            yield World(made, verifiers)
    finally:
        await verifiers.stop()


# Not shrunk: that would take minutes, and a history has 30 steps at most.
@settings(
    max_examples=14,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=steps)
async def test_three_stores_end_with_what_one_would_serve(world: World, history: list[tuple[Any, ...]]) -> None:
    world.begin()
    await world.run(history)
    expected = world.expected()
    assert [each.served() for each in world.sites] == [expected] * TOTAL
    again = [await world.links[both].reconcile(world.verifiers, int(time.time())) for both in ((1, 2), (2, 3))]
    assert {(report.received, report.sent) for report in again} == {(0, 0)}
