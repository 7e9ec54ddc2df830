"""The answer table (2.22): one row, one test. The prefix and the shape count; the words are free."""

import json
from typing import Any

import psycopg
import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Ok
from tests.acceptance.relay_process import RelayProcess


async def test_answer_stored(client: Client, author: Author) -> None:
    event = author.event()

    await client.send("EVENT", event)

    assert await client.next() == ["OK", event["id"], True, ""]


async def test_answer_known(client: Client, author: Author) -> None:
    event = author.event()
    await client.publish(event)

    await client.send("EVENT", event)

    assert await client.next() == ["OK", event["id"], True, "duplicate: already have this event"]


@pytest.mark.parametrize("kind", [0, 30_000])
async def test_answer_older(client: Client, author: Author, kind: int) -> None:
    older = author.event("old", kind=kind, at=1)
    await client.publish(author.event("new", kind=kind, at=2))

    await client.send("EVENT", older)

    assert await client.next() == ["OK", older["id"], False, "duplicate: have newer event"]


@pytest.mark.parametrize(
    "change",
    [
        {"id": "0" * 64}, {"sig": "0" * 128}, {"pubkey": "f" * 64}, {"pubkey": "0"}, {"kind": 2**16}, {"tags": "t"},
        {"created_at": 2**40}, {"content": None}, {"tags": [["expiration", "1"]]},
    ],
    ids=str,
)  # fmt: skip
async def test_answer_invalid(client: Client, author: Author, change: dict[str, Any]) -> None:
    event = author.event() | change

    await client.send("EVENT", event)

    name, event_id, accepted, text = await client.next()
    assert [name, event_id, accepted] == ["OK", event["id"], False]
    assert text.startswith("invalid: ")


async def test_answer_invalid_of_an_event_too_far_ahead(client: Client, author: Author) -> None:
    answer = await client.publish(author.event(at=2**40))

    assert not answer.accepted
    assert answer.text.startswith("invalid: ")


async def test_answer_rate_limited(small_client: Client) -> None:
    for name in "123":
        await small_client.request(name, {"limit": 0})

    await small_client.send("REQ", "4", {})

    assert await small_client.next() == ["CLOSED", "4", "rate-limited: too many subscriptions"]


async def test_answer_login_needed(client: Client, author: Author) -> None:
    event = author.event(tags=[["-"]])

    answer = await client.publish(event)
    asked = await client.request("sub", {"kinds": [1_059]})

    assert not answer.accepted
    assert answer.text.startswith("auth-required: ")
    assert str(asked.closed).startswith("auth-required: ")
    assert len(client.challenges) == 1


async def test_answer_auth(client: Client, author: Author) -> None:
    (good,) = await client.log_in(author)
    (bad,) = await client.log_in(author, url="wss://other.example.com")

    assert (good.accepted, good.text) == (True, "")
    assert not bad.accepted
    assert bad.text.startswith("invalid: ")


async def test_answer_blocked(client: Client, author: Author) -> None:
    answer = await client.publish(author.event(kind=13))

    assert not answer.accepted
    assert answer.text.startswith("blocked: ")


async def test_answer_restricted(client: Client, author: Author) -> None:
    event = author.event(tags=[["-"]])
    await client.log_in(Author())

    await client.send("EVENT", event)

    name, event_id, accepted, text = await client.next()
    assert [name, event_id, accepted] == ["OK", event["id"], False]
    assert text.startswith("restricted: ")


async def test_answer_error_and_nothing_is_stored(small: RelayProcess, small_client: Client, author: Author) -> None:
    event = author.event()
    with psycopg.connect(small.services()["DATABASE_URL"]) as database:
        database.execute("LOCK TABLE relay_event IN ACCESS EXCLUSIVE MODE")

        answer = await small_client.publish(event)
        asked = await small_client.request("sub", author.events)

    assert not answer.accepted
    assert answer.text.startswith("error: ")
    assert str(asked.closed).startswith("error: ")
    assert (await small_client.query(author.events)).events == []
    assert await small_client.publish(event) == Ok(event["id"], True, "")


@pytest.mark.parametrize("request_", [["sub", {"kinds": 1}], ["sub"], ["x" * 65, {}], ["", {}]], ids=str)
async def test_answer_bad_filter_or_name(client: Client, request_: list[Any]) -> None:
    await client.send("REQ", *request_)

    name, subscription_id, text = await client.next()
    assert [name, subscription_id] == ["CLOSED", request_[0]]
    assert text.startswith("invalid: ")


async def test_answer_unsupported(client: Client) -> None:
    await client.send("REQ", "sub", {"search": "words"})

    name, subscription_id, text = await client.next()
    assert [name, subscription_id] == ["CLOSED", "sub"]
    assert text.startswith("unsupported: ")


@pytest.mark.parametrize(
    "frame",
    ["[", '{"EVENT":1}', '["AUTH","x"]', '["COUNT",{}]', '["NEG-OPEN",{},"61"]', '["REQ"]', '["NEG-CLOSE","q"]'],
)
async def test_answer_unparsable(client: Client, frame: str) -> None:
    await client.send_raw(frame)

    name, text = await client.next()
    assert name == "NOTICE"
    assert text.startswith("invalid: ")


@pytest.mark.parametrize("message", [["COUNT", "q", {}], ["SEARCH", "q"]], ids=str)
async def test_answer_count_and_any_unknown_verb_are_refused_with_their_id(client: Client, message: list[Any]) -> None:
    await client.send(*message)

    name, query_id, text = await client.next()
    assert [name, query_id] == ["CLOSED", "q"]
    assert text.startswith("unsupported: ")


async def test_answer_count_that_is_refused_leaves_the_subscription_of_that_id_open(
    client: Client, author: Author
) -> None:
    await client.request("q", author.events)
    await client.send("COUNT", "q", {})
    assert (await client.next())[:2] == ["CLOSED", "q"]

    event = author.event()
    await client.publish(event)
    assert await client.live("q") == event


async def test_answer_neg_is_refused_with_its_id(client: Client) -> None:
    await client.send("NEG-OPEN", "q", {}, "61")

    name, query_id, text = await client.next()
    assert [name, query_id] == ["NEG-ERR", "q"]
    assert text.startswith("unsupported: ")


async def test_answer_bad_filter_names_the_subscription_as_it_came(client: Client) -> None:
    await client.send_raw(json.dumps(["REQ", "é\u2028\x01", {"kinds": [-1]}]))

    assert (await client.next())[:2] == ["CLOSED", "é\u2028\x01"]
