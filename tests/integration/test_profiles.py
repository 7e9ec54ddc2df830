"""GET /api/profiles, and the copies behind it: two relays on one database and one Valkey never say what is not so."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from redis.asyncio import Redis

from relay import conf
from relay.protocol.nip19 import encode
from relay.services import process
from relay.services.runtime import Relay
from relay.storage.profiles import TooLarge, newest_profiles
from relay.views.public import PublicViews
from tests.events import pubkey_of, secret, sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay, database, start_relay, tables  # noqa: F401
from tests.integration.storage.scribe import Tables, wait_until_answering

pytestmark = pytest.mark.django_db

ADA, BOB, EVE = (pubkey_of(secret(number)) for number in (101, 102, 103))
UNKNOWN = "f" * 64


class Answer:
    """What came for a request; names of headers are in lower case."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def profiles(self) -> Any:
        assert self.status == 200, self.body
        return json.loads(self.body)["profiles"]

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


async def ask(*pubkeys: str, method: str = "GET", headers: Mapping[str, str] | None = None, **more: str) -> Answer:
    """One request to the application, as a server would hand it over."""
    query = urlencode([("pubkey", pubkey) for pubkey in pubkeys] + list(more.items()))
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": "/api/profiles",
        "query_string": query.encode(),
        "headers": [(b"host", b"relay.test"), *[(n.encode(), v.encode()) for n, v in (headers or {}).items()]],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await PublicViews(get_asgi_application())(scope, receive, send)
    start, *parts = sent
    received = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], received, b"".join(part["body"] for part in parts))


@pytest.fixture
async def relay(tables: Tables) -> AsyncIterator[Relay]:  # noqa: F811
    """The relay of this process."""
    conf.config.cache_clear()
    await shared_cache("FLUSHDB")
    started = await process.start()
    await wait_until_answering(started.reads)
    yield started
    await process.stop()


async def shared_cache(*command: str | bytes) -> Any:
    client = Redis.from_url(django_settings.CACHE_URL)
    try:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]
    finally:
        await client.aclose()


async def publish(relay: Relay, number: int, content: str | dict[str, Any], *, age: int = 0, **more: Any) -> Any:
    """A profile of the author with this number, written `age` seconds ago, when its OK has come."""
    text = content if isinstance(content, str) else json.dumps(content)
    event = sign_event(secret(number), kind=0, content=text, created_at=int(time.time()) - age, **more)
    await say(relay, event)
    return event


async def say(relay: Relay, event: dict[str, Any]) -> None:
    client = Client(relay)
    await client.publish(event)
    client.leave()


async def test_a_profile_is_answered_with_its_event(relay: Relay) -> None:
    event = await publish(relay, 101, {"name": "ada", "about": 1, "picture": "https://example.com/ada.png"})

    (found,) = (await ask(ADA)).profiles

    assert found["profile"]["name"] == "ada"
    assert found["profile"]["picture"] == "https://example.com/ada.png"
    assert found["profile"]["about"] is None  # no text
    assert found["event"] == event
    assert (found["pubkey"], found["id"], found["created_at"]) == (ADA, event["id"], event["created_at"])


async def test_answers_come_in_the_order_of_the_request_each_author_once(relay: Relay) -> None:
    await publish(relay, 101, {"name": "ada"})
    await publish(relay, 102, {"name": "bob"})

    found = (await ask(BOB, UNKNOWN, ADA, BOB)).profiles

    assert [one["pubkey"] for one in found] == [BOB, UNKNOWN, ADA]
    assert found[1] == {"pubkey": UNKNOWN, "id": None, "created_at": None, "profile": None, "event": None}


async def test_an_author_may_be_named_by_npub(relay: Relay) -> None:
    await publish(relay, 101, {"name": "ada"})

    (found,) = (await ask(encode("npub", bytes.fromhex(ADA)))).profiles

    assert found["pubkey"] == ADA


@pytest.mark.parametrize("content", ["", "no JSON", "[]", "null", '"ada"', '{"name":"\\ud800"}', "{" * 3_000, "\x00"])
async def test_content_that_is_no_object_has_a_profile_of_nulls(relay: Relay, content: str) -> None:
    event = await publish(relay, 101, content)

    (found,) = (await ask(ADA)).profiles

    assert set(found["profile"].values()) == {None}
    assert found["event"] == event


@pytest.mark.parametrize(
    ("pubkeys", "more", "words"),
    [
        ([], {}, "from 1 to 100"),
        ([f"{number:064x}" for number in range(101)], {}, "from 1 to 100"),
        (["ab"], {}, "64 lower-case hex digits"),
        ([ADA.upper()], {}, "64 lower-case hex digits"),
        (["npub1qqqqqq"], {}, "cannot be read"),
        ([encode("note", bytes(32))], {}, "an npub"),
        ([ADA], {"limit": "1"}, "'limit' is not a parameter"),
    ],
)
async def test_a_wrong_request_is_answered_with_the_fault(
    relay: Relay, pubkeys: list[str], more: dict[str, str], words: str
) -> None:
    answer = await ask(*pubkeys, headers=None, **more)

    assert answer.status == 400
    assert words in answer.error
    assert answer.headers["cache-control"] == "no-store"


async def test_a_secret_key_is_not_repeated(relay: Relay) -> None:
    key = encode("nsec", bytes(31) + b"\x01")
    answer = await ask(key)
    assert answer.status == 400
    assert key not in answer.error


async def test_a_client_with_the_current_answer_gets_304(relay: Relay) -> None:
    await publish(relay, 101, {"name": "ada"}, age=5)
    first = await ask(ADA)
    given = {"if-none-match": first.headers["etag"]}

    again = await ask(ADA, headers=given)
    await publish(relay, 101, {"name": "ada lovelace"})
    later = await ask(ADA, headers=given)

    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert later.profiles[0]["profile"]["name"] == "ada lovelace"
    assert first.headers["cache-control"] == "public, no-cache"


async def test_pages_of_other_sites_may_read_profiles(relay: Relay) -> None:
    preflight = await ask(ADA, method="OPTIONS")
    assert preflight.status == 204
    assert "GET" in preflight.headers["access-control-allow-methods"]
    assert (await ask(ADA)).headers["access-control-allow-origin"] == "*"
    assert (await ask("x")).headers["access-control-allow-origin"] == "*"
    assert (await ask(ADA, method="POST")).status == 405
    assert (await ask(ADA, method="HEAD")).body == b""


async def test_profiles_that_are_too_large_together_are_refused(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    await publish(relay, 101, {"name": "ada"})
    monkeypatch.setattr("relay.views.profiles.MAX_BYTES", 100)
    answer = await ask(ADA)
    assert answer.status == 413
    assert "fewer" in answer.error


async def test_postgresql_joins_no_more_texts_than_an_answer_may_have(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await publish(relay, 101, {"name": "ada"})
    second = await publish(relay, 102, {"name": "bob"})
    size = sum(len(json.dumps(event, separators=(",", ":"))) for event in (first, second))
    for most in (size - 1, size):
        monkeypatch.setattr("relay.storage.profiles.MOST_BYTES", most)
        if most < size:
            with pytest.raises(TooLarge):
                await newest_profiles(relay.reads, [ADA, BOB, UNKNOWN])
        else:
            _, texts = await newest_profiles(relay.reads, [ADA, BOB, UNKNOWN])
            assert {key: json.loads(text) for key, text in texts.items()} == {ADA: first, BOB: second}
    assert (await newest_profiles(relay.reads, [UNKNOWN]))[1] == {}


async def test_an_expired_profile_is_not_answered(relay: Relay) -> None:
    expires_at = int(time.time()) + 2
    await publish(relay, 101, {"name": "ada"}, tags=[["expiration", str(expires_at)]])
    assert (await ask(ADA)).profiles[0]["profile"]["name"] == "ada"

    await asyncio.sleep(max(0.0, expires_at + 0.05 - time.time()))

    assert (await ask(ADA)).profiles[0]["event"] is None


async def test_a_known_profile_costs_postgresql_nothing(relay: Relay) -> None:
    await publish(relay, 101, {"name": "ada"}, age=5)
    await ask(ADA, UNKNOWN)
    assert relay.answers is not None
    hits = relay.answers.copies.profiles.l1.hits

    await publish(relay, 101, {"name": "ada lovelace"})
    found = (await ask(ADA, UNKNOWN)).profiles

    assert found[0]["profile"]["name"] == "ada lovelace"
    assert relay.answers.copies.profiles.l1.hits == hits + 2


async def test_without_its_database_the_relay_says_so(relay: Relay) -> None:
    await relay.reads.close()
    answer = await ask(ADA)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"


async def test_what_one_process_has_read_another_finds_in_the_shared_cache(start_relay: StartRelay) -> None:  # noqa: F811
    await shared_cache("FLUSHDB")
    one, other = [await start_relay(cache_layers="l1+l2") for _ in range(2)]
    await publish(one, 101, {"name": "ada"})
    await one.profiles.newest([ADA, UNKNOWN])

    found = await other.profiles.newest([ADA, UNKNOWN])

    assert set(found) == {ADA}
    assert (other.answers.copies.profiles.l2.hits, other.answers.copies.profiles.l2.misses) == (2, 0)


@pytest.mark.parametrize("layers", ["none", "l1", "l1+l2"])
async def test_either_process_knows_what_was_acknowledged_whatever_becomes_of_the_copies(
    start_relay: StartRelay, tables: Tables, layers: str  # noqa: F811
) -> None:  # fmt: skip
    """Random publishing, expiring, clearing, damaging and reading, against a plain dictionary."""
    await shared_cache("FLUSHDB")
    chance = random.Random(layers)
    relays = [await start_relay(cache_layers=layers) for _ in range(2)]
    newest: dict[str, str] = {}
    authors = {pubkey_of(secret(number)): number for number in (101, 102, 103)}
    begin = int(time.time()) - 1_000
    for step in range(70):
        pubkey, relay = chance.choice(list(authors)), chance.choice(relays)
        match chance.choice(["publish", "publish", "read", "read", "read", "sweep", "clear", "flush", "damage"]):
            case "publish":
                content = json.dumps({"name": str(step)})
                event = sign_event(secret(authors[pubkey]), kind=0, content=content, created_at=begin + step)
                await say(relay, event)
                newest[pubkey] = event["id"]
            case "sweep" if pubkey in newest:
                # As a job takes an expired event away: processes hear of it through the log, once they look there.
                gone = bytes.fromhex(newest.pop(pubkey))
                tables.rows("UPDATE relay_event SET expires_at = 1 WHERE id = %s RETURNING id", gone)
                tables.rows("SELECT relay_sweep_expired(2, 10)")
                await say(relay, sign_event(secret(101), content=str(step), created_at=begin))
            case "clear" if relay.answers is not None:
                relay.answers.copies.clear()
            case "flush":
                await shared_cache("FLUSHDB")
            case "damage":
                for key in await shared_cache("KEYS", "relay:1:p:*"):
                    await shared_cache("SETRANGE", key, "40", "damage")
        asked = chance.choice(relays)
        found = await asked.profiles.newest(list(authors))
        assert {pubkey: row.id for pubkey, row in found.items()} == newest, step
