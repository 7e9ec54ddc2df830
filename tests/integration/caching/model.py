"""What is stored, by the plainest of rules, and two relays that are asked and harmed beside it."""

import asyncio
import itertools
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from django.db import connection

from relay.conf import config
from relay.protocol.audience import Audience
from relay.protocol.limits import Limits
from relay.services import moderation
from relay.services.runtime import Relay
from relay.storage import retention
from tests.integration.order.clients import Client
from tests.integration.storage.gone import Served
from tests.oracle import naive_end, naive_query

Json = dict[str, Any]

MAX_LIMIT = 8
DEFAULT_LIMIT = 4
FOR_LOGINS = (1_984,)
"""Kinds that any client that has logged in reads, and no other."""
REFUSALS = ("duplicate: have newer", "invalid: event expired", "blocked: deleted by author", "blocked: removed")
_requests = itertools.count()


def limits() -> Limits:
    """Of the relays, so that answers are cut."""
    return replace(config().limits, max_limit=MAX_LIMIT, default_limit=DEFAULT_LIMIT)


def expected(
    state: Served, events: Iterable[Json], filters: Sequence[Json], now: int, keys: Collection[str] = ()
) -> list[str]:
    """The answer if these events come as well, in whatever order (09-17)."""
    held = state.after(events).known.values()
    return [event["id"] for event in naive_query(held, filters, now, MAX_LIMIT, DEFAULT_LIMIT, keys, False, FOR_LOGINS)]


async def publish(relay: Relay, events: Sequence[Json]) -> None:
    """Publish on one connection and wait for each OK; what is outdated, expired or deleted may be refused as such."""
    client = Client(relay)
    try:
        for event in events:
            client.say("EVENT", event)
        await client.until(lambda: len(client.messages) >= len(events), 20)
        for _, _, accepted, text in client.messages:
            assert accepted or text.startswith(REFUSALS), client.messages
    finally:
        client.leave()


def expected_end(
    state: Served, events: Iterable[Json], filters: Sequence[Json], now: int, keys: Collection[str] = ()
) -> str:
    """What EOSE may say of that answer (67-1)."""
    return naive_end(
        state.after(events).known.values(), filters, now, MAX_LIMIT, DEFAULT_LIMIT, keys, False, FOR_LOGINS
    )


async def ask(
    relay: Relay, filters: Sequence[Json], keys: Collection[str] = ()
) -> tuple[list[str], list[str], set[int]]:
    """The ids that come before EOSE to a client that has proved `keys`, what EOSE says of the end, and the seconds
    between asking and answer. A query that its keys do not allow finds nothing (59-2).
    """
    client, name = Client(relay), f"r{next(_requests)}"
    client.session.reader.audience = Audience.of(keys)
    begin = int(time.time())
    try:
        client.say("REQ", name, *filters)
        await client.until(lambda: any(message[0] in {"EOSE", "CLOSED"} for message in client.messages), 20)
        seconds = set(range(begin, int(time.time()) + 1))
        if client.messages[-1][0] == "CLOSED" and client.messages[-1][2].startswith(
            ("auth-required: ", "restricted: ")
        ):
            return [], [], seconds
        assert client.has_eose(name), client.messages[-1]
        return client.stored(name), client.hints[name][0] if client.hints[name] else [], seconds
    finally:
        client.leave()


class Model:
    """The relays, and what is left of all events that they have acknowledged."""

    def __init__(self, relays: Sequence[Relay]) -> None:
        self.relays = list(relays)
        self.state = Served()
        self.trace: list[str] = []

    async def publish(self, place: int, events: Sequence[Json]) -> None:
        self.trace.append(f"publish on {place}: {' '.join(_name(event) for event in events)}")
        await publish(self.relays[place], events)
        self.state = self.state.after(events)

    async def check(self, filters: Sequence[Json], keys: Collection[str] = ()) -> None:
        """Both relays must answer a client that has proved `keys` as the oracle does."""
        await asyncio.gather(*[self._check(place, filters, [], keys) for place in (0, 1)])

    async def race(
        self, place: int, events: Sequence[Json], filters: Sequence[Json], keys: Collection[str] = ()
    ) -> None:
        """Ask while events are on their way: each answer must be right for some of them."""
        self.trace.append(f"race on {place}: {' '.join(_name(event) for event in events)}")
        publishing = asyncio.ensure_future(publish(self.relays[place], events))
        await asyncio.sleep(0)
        await asyncio.gather(*[self._check(place, filters, events, keys) for place in (0, 1)])
        await publishing
        self.state = self.state.after(events)

    async def _check(
        self, place: int, filters: Sequence[Json], on_their_way: Sequence[Json], keys: Collection[str]
    ) -> None:
        found, end, seconds = await ask(self.relays[place], filters, keys)
        possible = [
            (expected(self.state, some, filters, now, keys), expected_end(self.state, some, filters, now, keys))
            for count in range(len(on_their_way) + 1)
            for some in itertools.combinations(on_their_way, count)
            for now in seconds
        ]
        right = [ids for ids, _ in possible]
        assert found in right, self._complaint(place, filters, found, right[0], keys)
        assert not end or any(found == ids and end == [said] for ids, said in possible), (place, filters, keys, end)

    def _complaint(
        self, place: int, filters: Sequence[Json], found: list[str], right: list[str], keys: Collection[str]
    ) -> str:
        names = [event_id[:6] for event_id in found]
        return "\n".join(
            [
                *self.trace[-30:],
                f"asked {place} with {keys}: {filters}",
                f"got {names}",
                f"not {[i[:6] for i in right]}",
            ]
        )

    async def remove(self, event_id: str) -> None:
        """An operator removes an event: within a second every process knows, bus or no bus (X-6)."""
        self.trace.append(f"remove {event_id[:6]}")
        await asyncio.to_thread(_remove, event_id)
        position = await self.relays[0].primary.position()
        async with asyncio.timeout(10):
            while any(
                event_id not in relay.lists.banned_events or relay.hub.position < position for relay in self.relays
            ):
                await asyncio.sleep(0.01)
        self.state = self.state.without(event_id)

    async def sweep(self) -> None:
        """What the jobs do: events that expired, or whose author vanished, leave the database."""
        self.trace.append("sweep")
        await asyncio.to_thread(_sweep)

    def clear(self, place: int) -> None:
        self.trace.append(f"clear {place}")
        answers = self.relays[place].answers
        assert answers is not None
        answers.copies.clear()


def _sweep() -> None:
    try:
        retention.sweep_expired(int(time.time()))
        retention.remove_vanished()
    finally:
        connection.close()


def _remove(event_id: str) -> None:
    try:
        moderation.ban_event(event_id, by="test")
    finally:
        connection.close()


def _name(event: Json) -> str:
    return f"{event['id'][:6]}(kind {event['kind']})"
