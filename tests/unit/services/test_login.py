"""Logging in on a connection (NIP-42), and what that changes for its messages."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from relay.changes.change import Added, Batch
from relay.ingest.outcome import Outcome, Status
from relay.metrics import counters
from relay.protocol.event import Event, StoredEvent
from relay.services.session import login
from tests.events import pubkey_of, secret, sign_event
from tests.unit.services.test_session import RELAY, Client, Memory

ALICE, BOB = secret(1), secret(2)
AUTH_REQUIRED = Outcome(Status.REFUSED, "auth-required: log in to publish this")


@pytest.fixture(autouse=True)
def uncounted() -> Iterator[None]:
    """Leave the counters of the process as they were."""
    before = counters.totals()
    yield
    for name, value in before.items():
        setattr(counters, name, value)


@pytest.fixture
async def memory() -> AsyncIterator[Memory]:
    made = Memory()
    made.known = []
    yield made
    await made.background.stop()


@pytest.fixture
async def client(memory: Memory) -> AsyncIterator[Client]:
    made = Client(memory)
    yield made
    made.session.end()
    assert memory.hub.subscriptions == 0


def login_of(client: Client, key: bytes = ALICE, **changes: Any) -> dict[str, Any]:
    tags = [["relay", RELAY], ["challenge", changes.pop("challenge", client.session.login.challenge)]]
    return sign_event(key, **{"kind": 22_242, "tags": tags, "created_at": int(time.time()), **changes})


def log_in(client: Client, key: bytes = ALICE) -> None:
    client.say("AUTH", login_of(client, key))


def wrap_for(*keys: bytes, kind: int = 1_059) -> StoredEvent:
    tags = [["p", pubkey_of(key)] for key in keys]
    return StoredEvent.of(Event(**sign_event(secret(9), kind=kind, tags=tags, created_at=int(time.time()))))


def store(memory: Memory, event: StoredEvent) -> None:
    number = memory.hub.position + 1
    memory.hub.deliver(memory.intake.offer(Batch.of([Added(number, event)])))


async def test_42_1_the_challenge_is_sent_first(client: Client) -> None:
    client.session.greet()
    assert client.got == [["AUTH", client.session.login.challenge]]


async def test_42_6_each_connection_has_a_challenge_of_16_random_bytes(memory: Memory) -> None:
    challenges = {Client(memory).session.login.challenge for _ in range(100)}
    assert len(challenges) == 100
    assert {len(bytes.fromhex(challenge)) for challenge in challenges} == {16}


async def test_42_1_a_good_login_is_answered_with_ok_true(client: Client) -> None:
    event = login_of(client)
    client.say("AUTH", event)
    client.say("AUTH", event)  # 42-6: twice is as good as once
    assert client.got == [["OK", event["id"], True, ""]] * 2
    assert client.session.audience.keys == {event["pubkey"]}


async def test_42_1_a_login_that_cannot_be_read_is_answered_with_its_id(client: Client) -> None:
    client.say("AUTH", {"id": "any text", "kind": "x"})
    (answer,) = client.got
    assert answer[:3] == ["OK", "any text", False]
    assert answer[3].startswith("invalid: ")


async def test_42_7_a_login_for_another_connections_challenge_is_refused(client: Client, memory: Memory) -> None:
    event = login_of(Client(memory))
    client.say("AUTH", event)
    assert client.got[0][:3] == ["OK", event["id"], False]
    assert not client.session.audience


async def test_42_3_a_second_key_is_added_and_a_failed_login_takes_none_away(client: Client) -> None:
    log_in(client, ALICE)
    log_in(client, BOB)
    client.say("AUTH", login_of(client, secret(3), challenge="wrong"))
    assert client.session.audience.keys == {pubkey_of(ALICE), pubkey_of(BOB)}
    assert client.session.source.proved == client.session.audience.keys
    assert [message[2] for message in client.got] == [True, True, False]


async def test_42_9_the_keys_of_a_connection_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.services.session.session.MAX_KEYS", 2)
    for number in (1, 2, 3, 1):
        log_in(client, secret(number))
    assert [message[2] for message in client.got] == [True, True, False, True]
    assert client.got[2][3].startswith("rate-limited: ")
    assert len(client.session.audience.keys) == 2


async def test_42_9_after_many_failed_logins_none_is_verified(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "FAILURES", 2)
    for _ in range(2):
        client.say("AUTH", login_of(client, challenge="wrong"))
    log_in(client)
    assert [message[3].partition(":")[0] for message in client.got] == ["invalid", "invalid", "rate-limited"]


async def test_42_10_a_login_counts_for_the_messages_after_it(client: Client, memory: Memory) -> None:
    sources: list[frozenset[str]] = []
    parts: Any = memory
    parts.submit = lambda event, source, then: sources.append(source.proved)
    client.say("EVENT", sign_event())
    log_in(client)
    client.say("EVENT", sign_event())
    assert sources == [frozenset(), {pubkey_of(ALICE)}]


async def test_42_5_the_challenge_comes_before_an_event_is_refused(client: Client, memory: Memory) -> None:
    memory.outcome = AUTH_REQUIRED
    event = sign_event()
    client.say("EVENT", event)
    assert client.got == [["AUTH", client.session.login.challenge], ["OK", event["id"], False, AUTH_REQUIRED.text]]


async def test_42_5_the_challenge_comes_before_an_event_that_is_refused_later(client: Client, memory: Memory) -> None:
    event = sign_event()
    client.say("EVENT", event)
    memory.published.pop()(AUTH_REQUIRED)  # as the operator's own policy says
    assert client.got == [["AUTH", client.session.login.challenge], ["OK", event["id"], False, AUTH_REQUIRED.text]]


async def test_42_6_the_same_challenge_is_repeated_at_most_once_a_second(
    client: Client, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    memory.outcome = AUTH_REQUIRED
    client.session.greet()
    for now in (1_000.5, 1_001.0, 1_001.5):  # noqa: B007 - the clock of `login`
        client.say("EVENT", sign_event())
    assert [message[0] for message in client.got] == ["AUTH", "OK", "AUTH", "OK", "OK"]
    assert client.got[0] == client.got[2]


async def test_42_11_each_message_between_refusal_and_login_is_answered(client: Client) -> None:
    client.say("REQ", "a", {"kinds": [1_059]})
    client.say("REQ", "b", {"kinds": [1]})
    log_in(client)
    client.say("REQ", "a", {"kinds": [1_059]})
    assert [message[:2] for message in client.got if message[0] in ("CLOSED", "EOSE")] == [
        ["CLOSED", "a"],
        ["EOSE", "b"],
        ["EOSE", "a"],
    ]


async def test_42_7_where_reading_needs_a_login_every_req_is_refused_before(memory: Memory) -> None:
    limits = replace(memory.services.config.limits, auth_to_read=True)
    memory.services = replace(memory.services, config=replace(memory.services.config, limits=limits))
    client = Client(memory)
    client.say("REQ", "s", {"kinds": [1]})
    assert client.got[1] == ["CLOSED", "s", "auth-required: log in to read"]
    log_in(client)
    client.say("REQ", "s", {"kinds": [1]})
    assert client.got[-1][:2] == ["EOSE", "s"]


async def test_42_10_a_ban_ends_what_the_last_key_was_reading_where_reading_needs_a_login(memory: Memory) -> None:
    limits = replace(memory.services.config.limits, auth_to_read=True)
    memory.services = replace(memory.services, config=replace(memory.services.config, limits=limits))
    client = Client(memory)
    log_in(client, ALICE)
    log_in(client, BOB)
    client.say("REQ", "s", {"kinds": [1]})
    client.session.disown(lambda key: key == pubkey_of(ALICE))
    memory.apply()
    assert [message[0] for message in client.got[2:]] == ["EOSE", "EVENT"]
    client.session.disown(lambda key: key == pubkey_of(BOB))
    memory.apply()
    assert client.got[4:] == [
        ["AUTH", client.session.login.challenge],
        ["CLOSED", "s", "auth-required: log in to read"],
    ]
    assert memory.hub.subscriptions == 0
    client.session.end()


async def test_42_10_a_ban_leaves_subscriptions_open_where_reading_needs_no_login(
    client: Client, memory: Memory
) -> None:
    log_in(client)
    client.say("REQ", "s", {"kinds": [1, 1_059]})
    client.session.disown(lambda key: True)
    store(memory, wrap_for(ALICE))
    memory.apply()
    assert [message[0] for message in client.got] == ["OK", "EOSE", "EVENT"]
    assert client.got[-1][2]["kind"] == 1


async def test_01_s04_a_req_that_may_not_be_asked_ends_the_subscription_of_its_id(
    client: Client, memory: Memory
) -> None:
    client.say("REQ", "s", {"kinds": [1]})
    client.say("REQ", "s", {"kinds": [1_059]})
    memory.apply()
    assert [message[0] for message in client.got] == ["EOSE", "AUTH", "CLOSED"]


async def test_59_2_other_peoples_wraps_are_restricted_to_a_reader_who_has_logged_in(client: Client) -> None:
    log_in(client)
    client.say("REQ", "s", {"kinds": [1_059], "#p": [pubkey_of(BOB)]})
    assert client.got[-1] == ["CLOSED", "s", "restricted: these private events are for others"]


async def test_42_8_an_open_subscription_receives_private_events_once_its_client_has_logged_in(
    client: Client, memory: Memory
) -> None:
    client.say("REQ", "s", {"kinds": [1, 1_059]})
    early, late = wrap_for(ALICE, BOB), wrap_for(BOB, ALICE, kind=4)
    store(memory, early)
    client.say("REQ", "all", {})
    log_in(client)
    store(memory, late)
    store(memory, wrap_for(BOB))
    assert [m[1:] for m in client.got if m[0] == "EVENT"] == [["all", m[2]] for m in client.got if m[0] == "EVENT"]
    assert [m[2]["id"] for m in client.got if m[0] == "EVENT"] == [late.id]


async def test_59_4_an_ephemeral_wrap_reaches_its_recipients_alone(client: Client, memory: Memory) -> None:
    other = Client(memory)
    for each, key in ((client, ALICE), (other, BOB)):
        log_in(each, key)
        each.say("REQ", "s", {"kinds": [21_059]})
        each.say("REQ", "all", {})
    memory.hub.deliver_ephemeral(wrap_for(ALICE, kind=21_059))
    assert {m[1] for m in client.got if m[0] == "EVENT"} == {"s", "all"}
    assert [m for m in other.got if m[0] == "EVENT"] == []
    other.session.end()


async def test_59_7_a_wrap_that_is_dated_before_since_is_not_sent_live(client: Client, memory: Memory) -> None:
    log_in(client)
    client.say("REQ", "s", {"kinds": [1_059], "since": int(time.time()) + 10})
    store(memory, wrap_for(ALICE))
    assert [m for m in client.got if m[0] == "EVENT"] == []


async def test_logins_and_connections_with_keys_are_counted(memory: Memory) -> None:
    before = counters.totals()
    client = Client(memory)
    log_in(client)
    log_in(client, BOB)
    client.say("AUTH", login_of(client, challenge="wrong"))
    client.session.end()
    names = ("logins", "logins_failed", "authenticated_begun", "authenticated_ended")
    assert [counters.totals()[name] - before[name] for name in names] == [2, 1, 1, 1]
