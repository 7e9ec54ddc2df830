"""A replica that lags gives the primary's answers: the changes since are applied to what it says."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.filters import parse_filter
from relay.protocol.messages import End
from relay.storage.channel import Channel
from relay.storage.read_result import Result, id_in
from relay.storage.reads import Reads
from relay.storage.request import Request
from tests import strategies
from tests.events import NOW, pubkey_of, secret, sign_event
from tests.integration.caching.model import limits
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay
from tests.integration.replicas.conftest import ADDRESSES, Started
from tests.integration.storage.scribe import Tables
from tests.replica_server import Standby

pytestmark = pytest.mark.django_db

Json = dict[str, Any]

AUTHORS = strategies.PUBKEYS
AUDIENCES = [ANONYMOUS, Audience.of(AUTHORS[:1]), Audience.of(AUTHORS[1:3])]
THREAD = "a" * 64
SHAPES: list[list[Json]] = [
    [{}],
    [{"limit": 3}],
    [{"kinds": [1]}],
    [{"kinds": [1], "limit": 5}],
    [{"kinds": [1, 7], "since": NOW - 500}],
    [{"kinds": [1], "until": NOW - 100, "limit": 7}],
    [{"authors": AUTHORS[:1]}],
    [{"authors": AUTHORS[:1], "limit": 4}],
    [{"authors": AUTHORS[:3], "kinds": [1], "limit": 6}],
    [{"authors": AUTHORS, "kinds": [0, 10_002]}],
    [{"kinds": [30_023]}],
    [{"#t": ["a"]}],
    [{"#e": [THREAD], "kinds": [1], "limit": 4}],
    [{"#p": AUTHORS[:2]}],
    [{"kinds": [4, 1_059]}],
    [{"kinds": [1_059], "#p": AUTHORS[:1]}],
    [{"kinds": [4], "authors": AUTHORS[1:2], "limit": 2}],
    [{"kinds": [1], "limit": 2}, {"authors": AUTHORS[1:2], "limit": 3}],
    [{"limit": 0}, {"kinds": [7]}],
]


def event(number: int) -> Json:
    """Notes, reactions, versions of replaceable events, private events; few authors and threads."""
    kind = [1, 1, 7, 0, 1, 10_002, 30_023, 4, 1_059, 1][number % 10]
    tags = [["t", "ab"[number % 2]], ["e", THREAD]] if number % 3 else []
    if number % 4 == 0 or kind in {4, 1_059}:
        tags.append(["p", AUTHORS[number % 3]])
    if kind == 30_023:
        tags.append(["d", str(number % 7)])
    author = secret(1 + number % 4)
    return sign_event(author, kind=kind, tags=tags, created_at=NOW - 1_000 + number, content=str(number))


async def publish(relay: Any, events: Sequence[Json]) -> None:
    client = Client(relay)
    for each in events:
        client.say("EVENT", each)
    await client.until(lambda: len(client.messages) >= len(events), 60)
    assert all(message[2] for message in client.messages), [m for m in client.messages if not m[2]][:3]
    client.leave()


def said(result: Result) -> list[bytes]:
    return [id_in(item) for item in result.events]


async def assert_same_answers(started: Started, reads: Reads, shapes: Sequence[Sequence[Json]] = SHAPES) -> None:
    """Each filter, for each audience, is answered as the primary answers it."""
    for wanted in shapes:
        filters = [parse_filter(each, limits()) for each in wanted]
        for audience in AUDIENCES:
            right, found = await asyncio.gather(
                reads.query(filters, audience), started.relay.reads.query(filters, audience)
            )
            assert said(found) == said(right), (wanted, audience, found.position, right.position)
            assert found.end in {right.end, End.UNKNOWN}, (wanted, audience)


async def test_replicas_in_turn_answer_what_is_replayed(
    start_with_replicas: StartRelay, replicas: list[Standby], reads: Reads
) -> None:
    started = await start_with_replicas()
    await publish(started.relay, [event(number) for number in range(200)])
    for standby in replicas:
        await asyncio.to_thread(standby.catch_up)
    before = started.answered()
    await assert_same_answers(started, reads)
    answered = {name: count - before[name] for name, count in started.answered().items()}
    assert answered["primary"] == 0, started.found.fallbacks
    assert abs(answered["replica_1"] - answered["replica_2"]) <= 1


@pytest.mark.parametrize("server", ["replica_1", "primary"])
async def test_queries_that_are_asked_together_share_a_snapshot_and_have_their_own_answers(
    start_relay: StartRelay, replicas: list[Standby], monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    started = Started(await start_relay(replicas=ADDRESSES[:1] * (server != "primary"), replica_connections=2))
    if server != "primary":
        await started.until_up([True])
    events = [event(number) for number in range(40)]
    await publish(started.relay, events)
    await asyncio.to_thread(replicas[0].catch_up)
    sent: list[Request] = []
    send = Channel.send

    def noted(channel: Channel, *arguments: Any, **named: Any) -> Request:
        sent.append(send(channel, *arguments, **named))
        return sent[-1]

    monkeypatch.setattr(Channel, "send", noted)
    before = started.answered()[server]
    filters = [parse_filter({"ids": [each["id"]]}, limits()) for each in events if each["kind"] == 1]
    found = await asyncio.gather(*[started.relay.reads.query([flt]) for flt in filters])
    assert [said(result) for result in found] == [[id.encode() for id in flt.ids or ()] for flt in filters]
    assert {result.position for result in found} == {started.relay.intake.ring.position}
    assert started.answered()[server] == before + len(filters)
    assert len([request for request in sent if request.takes]) >= len(filters) // 2


async def test_a_paused_replica_gives_the_primarys_answers_while_a_thousand_events_are_written_and_removed(
    start_with_replicas: StartRelay, replicas: list[Standby], reads: Reads, tables: Tables
) -> None:
    started = await start_with_replicas()
    events = [event(number) for number in range(1_400)]
    await publish(started.relay, events[:400])
    for standby in replicas:
        await asyncio.to_thread(standby.catch_up)
        await asyncio.to_thread(standby.pause)
    before = started.answered()
    for begin in range(400, 1_400, 250):
        await publish(started.relay, events[begin : begin + 250])
        author = secret(1 + begin % 4)
        own = [each["id"] for each in events[:begin] if each["pubkey"] == pubkey_of(author)]
        gone = sign_event(author, kind=5, tags=[["e", each] for each in own[-20::3]], created_at=NOW + begin)
        await publish(started.relay, [gone])
        await assert_same_answers(started, reads)
    vanish = sign_event(secret(2), kind=62, tags=[["relay", "ALL_RELAYS"]], created_at=NOW - 300)
    await publish(started.relay, [vanish])
    await assert_same_answers(started, reads)
    await asyncio.to_thread(tables.vanish)
    await assert_same_answers(started, reads)
    answered = {name: count - before[name] for name, count in started.answered().items()}
    assert answered["replica_1"] + answered["replica_2"] > answered["primary"], started.found.fallbacks
    assert set(started.found.fallbacks) >= {"short"}
    assert {name for name, count in started.found.fallbacks.items() if count} <= {"short"}


async def test_a_replica_that_the_ring_does_not_reach_is_not_asked(
    start_with_replicas: StartRelay, replicas: list[Standby], reads: Reads
) -> None:
    started = await start_with_replicas(ring_bytes=20_000)
    await publish(started.relay, [event(number) for number in range(20)])
    await asyncio.to_thread(replicas[0].pause)
    await publish(started.relay, [event(number) for number in range(20, 200)])
    await asyncio.to_thread(replicas[1].catch_up)
    async with asyncio.timeout(5):
        while started.found.all[0].usable or not started.found.all[1].usable:
            await asyncio.sleep(0.01)
    before = started.answered()
    await assert_same_answers(started, reads)
    answered = started.answered()
    assert answered["replica_1"] == before["replica_1"]
    assert answered["replica_2"] > before["replica_2"]


async def test_a_large_answer_is_whole_though_the_replicas_lag(
    start_with_replicas: StartRelay, replicas: list[Standby]
) -> None:
    started = await start_with_replicas()
    large = [sign_event(content=f"{number}" + "x" * 60_000, created_at=NOW + number) for number in range(60)]
    await publish(started.relay, large[:50])
    for standby in replicas:
        await asyncio.to_thread(standby.catch_up)
        await asyncio.to_thread(standby.pause)
    await publish(started.relay, large[50:])
    client = Client(started.relay)
    client.say("REQ", "s", {"kinds": [1]})
    await client.until(lambda: client.has_eose("s"))
    assert client.stored("s") == [each["id"] for each in reversed(large)]
