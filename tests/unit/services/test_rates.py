"""Rate limits of sessions: who is charged for what, the answers, and the bounds of what is kept."""

import asyncio
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import orjson
import pytest

from relay.ingest.outcome import STORED
from relay.metrics import counters
from relay.policies.source import Source, SourceKind
from relay.protocol.event import Event
from relay.protocol.limits import Limits
from relay.protocol.messages import EventMessage, parse_message
from relay.protocol.rates import Rate, RateSettings
from relay.services import rates as module
from relay.services.rates import Rates
from relay.services.session.rates import refusal
from relay.services.session.reading import Reading
from relay.services.session.session import Session
from tests.events import secret, sign_event
from tests.unit.services.test_session import FILTER, Client, Memory, Wire, client, memory

__all__ = ["client", "memory"]

SLOW = Rate(0.001, 2)
ADDRESS = "203.0.113.7"


class PausedWire(Wire):
    """Notes whether reading is paused, and how it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False
        self.closed_with: tuple[int, str] | None = None

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def close(self, code: int, reason: str) -> None:
        self.closed_with = (code, reason)


class LimitedClient(Client):
    """A client at an address; those of the same `memory` share its limits."""

    def __init__(self, memory: Memory, address: str = ADDRESS, **limits: Any) -> None:
        if limits:
            memory.services = replace(memory.services, rates=Rates(RateSettings(**limits)))
        self.wire: PausedWire = PausedWire()
        self.session = Session(memory.services, self.wire, address, address)


def parsed(event: dict[str, object]) -> Event:
    message = parse_message(orjson.dumps(["EVENT", event]), Limits())
    assert isinstance(message, EventMessage)
    return message.event


async def test_answer_rate_limited_an_event_above_the_limit_is_refused_and_not_submitted(memory: Memory) -> None:
    memory.outcome = STORED
    client = LimitedClient(memory, events=Rate(0.001, 1))
    first, second = sign_event(content="1"), sign_event(content="2")

    client.say("EVENT", first)
    client.say("EVENT", second)

    assert client.got == [
        ["OK", first["id"], True, ""],
        ["OK", second["id"], False, "rate-limited: too many messages, slow down"],
    ]


async def test_an_event_of_a_limited_kind_is_refused_and_one_of_another_is_not(memory: Memory) -> None:
    memory.outcome = STORED
    client = LimitedClient(memory, kinds={7: Rate(0.001, 1)})

    for kind in (7, 7, 1, 1):
        client.say("EVENT", sign_event(kind=kind))

    assert [message[2] for message in client.got] == [True, False, True, True]


async def test_answer_rate_limited_a_query_is_closed_and_so_is_the_subscription_that_it_names(memory: Memory) -> None:
    memory.known = ()
    client = LimitedClient(memory, questions=Rate(0.001, 1))

    client.say("REQ", "s", FILTER)
    client.say("REQ", "s", FILTER)

    assert client.got == [["EOSE", "s"], ["CLOSED", "s", "rate-limited: too many messages, slow down"]]
    assert memory.hub.subscriptions == 0
    client.session.end()


async def test_connections_of_one_network_share_a_limit_and_others_do_not(memory: Memory) -> None:
    memory.outcome = STORED
    first = LimitedClient(memory, "2001:db8::1", events=Rate(0.001, 1))
    second = LimitedClient(memory, "2001:db8::2")
    third = LimitedClient(memory, "2001:db8:0:1::1")

    for each in (first, second, third):
        each.say("EVENT", sign_event())

    assert [each.got[0][2] for each in (first, second, third)] == [True, False, True]


async def test_an_ipv4_address_in_ipv6_is_the_ipv4_address(memory: Memory) -> None:
    memory.outcome = STORED
    first = LimitedClient(memory, ADDRESS, events=Rate(0.001, 1))
    second = LimitedClient(memory, f"::ffff:{ADDRESS}")

    for each in (first, second):
        each.say("EVENT", sign_event())

    assert [each.got[0][2] for each in (first, second)] == [True, False]


async def test_who_connects_again_has_no_more_left(memory: Memory) -> None:
    memory.outcome = STORED
    first = LimitedClient(memory, events=Rate(0.001, 1))
    first.say("EVENT", sign_event())
    first.session.end()

    second = LimitedClient(memory)
    second.say("EVENT", sign_event())

    assert second.got[0][2] is False


async def test_an_exempt_network_and_a_unix_socket_have_no_limit(memory: Memory) -> None:
    settings = RateSettings(messages=SLOW, events=SLOW)
    memory.services = replace(memory.services, rates=Rates(settings, (ip_network("127.0.0.0/8"),)))
    memory.outcome = STORED

    for address in ("127.0.0.1", "unix"):
        client = LimitedClient(memory, address)
        for _ in range(5):
            client.say("EVENT", sign_event())
        assert [message[2] for message in client.got] == [True] * 5


async def test_a_message_above_the_limit_gets_the_answer_that_its_client_waits_for(memory: Memory) -> None:
    memory.known = ()
    client = LimitedClient(memory, messages=Rate(0.001, 8))
    event = sign_event(content="x" * 10_000)
    client.say("REQ", "open", FILTER)
    client.say("REQ", "other", FILTER)
    events = counters.events_received

    client.say("EVENT", event)
    client.say("EVENT", dict(reversed(event.items())))
    client.say("REQ", 'a "quoted" one', FILTER)
    client.say("AUTH", event)
    client.say("LOGIN", "x")
    client.say("CLOSE", "open")

    text = "rate-limited: too many messages, slow down"
    refused = ["OK", event["id"], False, text]
    assert client.got[2:] == [refused, refused, ["CLOSED", 'a "quoted" one', text], refused, ["NOTICE", text]]
    assert memory.hub.subscriptions == 1
    assert counters.events_received == events + 2
    client.session.end()


async def test_a_count_above_the_limit_does_not_end_the_subscription_of_its_id(memory: Memory) -> None:
    memory.known = ()
    client = LimitedClient(memory, messages=Rate(0.001, 4))
    client.say("REQ", "x", FILTER)

    client.say("COUNT", "x", FILTER)

    assert client.got[1:] == [["CLOSED", "x", "rate-limited: too many messages, slow down"]]
    assert memory.hub.subscriptions == 1
    client.session.end()


@pytest.mark.parametrize(
    "frame", [b"", b"[", b'["REQ"]', b'["REQ","' + b"x" * 9_000, b'["REQ","\\ud800",{}]', "\ud800"]
)
def test_a_message_that_cannot_be_read_gets_a_notice(frame: bytes | str) -> None:
    refused = refusal(frame)

    assert refused is not None
    assert orjson.loads(refused.reply)[0] == "NOTICE"


async def test_reading_pauses_above_the_limit_of_bytes_and_goes_on_by_itself(memory: Memory) -> None:
    client = LimitedClient(memory, bytes=Rate(20_000.0, 400))
    client.session.services = replace(client.session.services, handlers={})

    client.say("CLOSE", "s" * 1_000)
    assert client.wire.paused

    async with asyncio.timeout(5):
        while client.wire.paused:
            await asyncio.sleep(0.01)
    client.session.end()


async def test_a_client_far_above_a_limit_is_told_and_disconnected(memory: Memory) -> None:
    client = LimitedClient(memory, questions=Rate(0.001, 1))

    for _ in range(601):
        client.say("REQ", "s", FILTER)
    await asyncio.sleep(0)

    assert client.got[-1] == ["NOTICE", "rate-limited: far too many messages for a minute"]
    assert client.wire.closed_with == (1008, "rate-limited: far too many messages for a minute")


async def test_two_reasons_to_pause_reading_end_one_after_the_other() -> None:
    wire = PausedWire()
    reading = Reading(wire)
    reading.pause_reading()
    reading.pause_reading()
    reading.resume_reading()
    assert wire.paused
    reading.resume_reading()
    assert not wire.paused


# -- Authors -----------------------------------------------------------------------------------------------------------

CLIENT = Source(SourceKind.CLIENT, ADDRESS, owner=ADDRESS, limited=True)


def test_an_author_has_one_limit_from_all_addresses() -> None:
    rates = Rates(RateSettings(author=Rate(0.001, 1)))
    elsewhere = Source(SourceKind.CLIENT, "198.51.100.1", owner="198.51.100.1", limited=True)
    first, second = parsed(sign_event(secret(1))), parsed(sign_event(secret(2)))

    answers = [rates.refusal_of_author(CLIENT, first), rates.refusal_of_author(elsewhere, first)]

    assert [answer is None for answer in answers] == [True, False]
    assert rates.refusal_of_author(elsewhere, second) is None


def test_imports_and_exempt_clients_charge_no_author() -> None:
    rates = Rates(RateSettings(author=Rate(0.001, 1)))
    event = parsed(sign_event())

    assert [rates.refusal_of_author(Source(SourceKind.IMPORT), event) for _ in range(5)] == [None] * 5


def test_59_6_a_wrap_is_charged_to_its_sender_or_to_what_its_address_sends_to_the_recipient() -> None:
    rates = Rates(RateSettings(author=Rate(0.001, 1)))
    wraps = [parsed(sign_event(secret(n), kind=1059, tags=[["p", "a" * 64]])) for n in (1, 2)]
    other = parsed(sign_event(secret(1), kind=1059, tags=[["p", "b" * 64]]))
    elsewhere = Source(SourceKind.CLIENT, "198.51.100.1", owner="198.51.100.1", limited=True)
    proved = Source(SourceKind.CLIENT, ADDRESS, owner=ADDRESS, limited=True, proved=frozenset({"c" * 64}))

    assert rates.refusal_of_author(CLIENT, wraps[0]) is None
    assert rates.refusal_of_author(CLIENT, wraps[1]) is not None  # another key, the same recipient
    assert rates.refusal_of_author(CLIENT, other) is None
    assert rates.refusal_of_author(elsewhere, wraps[1]) is None  # no key uses up what others may send
    assert rates.refusal_of_author(proved, wraps[0]) is None
    assert rates.refusal_of_author(proved, other) is not None


# -- Bounds ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_AUTHORS", 100)
    monkeypatch.setattr(module, "MAX_IDLE_NETWORKS", 100)


@pytest.mark.usefixtures("few")
def test_a_flood_of_addresses_and_authors_does_not_grow_memory() -> None:
    rates = Rates(RateSettings(messages=SLOW, author=SLOW))
    event = parsed(sign_event())

    for number in range(2_000):
        buckets = rates.enter(f"10.0.{number // 250}.{number % 250}")
        bucket = buckets.of("messages")
        assert bucket is not None
        bucket.take()
        rates.leave(buckets)
        rates._author(f"{number:064x}").take()
    rates.refusal_of_author(CLIENT, event)

    assert rates.bytes <= module.BUCKET_BYTES * (100 + 100 * module.BUCKETS_OF_NETWORK)


async def test_what_is_full_again_is_forgotten() -> None:
    rates = Rates(RateSettings(events=Rate(1e6, 1_000), author=Rate(1e6, 1_000)))
    buckets = rates.enter(ADDRESS)
    events = buckets.of("events")
    assert events is not None
    events.take(5)
    rates._author("a" * 64).take(5)
    rates.leave(buckets)

    async with asyncio.timeout(5):
        while rates.bytes:
            await rates.sweep()
            await asyncio.sleep(0.01)


def test_refusals_are_counted_by_limit() -> None:
    before = counters.rate_limited["author"]
    rates = Rates(RateSettings(author=Rate(0.001, 1)))
    event = parsed(sign_event())

    for _ in range(3):
        rates.refusal_of_author(CLIENT, event)

    assert counters.rate_limited["author"] == before + 2
