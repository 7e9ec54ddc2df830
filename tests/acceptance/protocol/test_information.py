"""NIP-11: the document, and that every number in it is enforced, at n and at n + 1 (11-1, 11-2, 11-4, 11-8)."""

import json
import time
import urllib.request
from typing import Any

import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.protocol.conftest import SMALL
from tests.acceptance.protocol.test_events import in_one_second
from tests.acceptance.relay_process import RelayProcess

MEDIA_TYPE = "application/nostr+json"


def get(relay: RelayProcess, accept: str = MEDIA_TYPE) -> tuple[str, bytes]:
    """Media type and body of the answer at the relay's own address."""
    request = urllib.request.Request(relay.http_url + "/", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers.get_content_type(), answer.read()


@pytest.fixture
def limit(small: RelayProcess) -> dict[str, Any]:
    """The `limitation` that the relay with small limits publishes."""
    return dict(json.loads(get(small)[1])["limitation"])


@pytest.mark.parametrize("accept", [MEDIA_TYPE, f"text/html;q=0.5, {MEDIA_TYPE};q=0.9", "Application/Nostr+JSON"])
def test_11_1_the_document_is_at_the_relays_own_address(relay: RelayProcess, accept: str) -> None:
    media_type, body = get(relay, accept)

    assert media_type == MEDIA_TYPE
    assert 1 in json.loads(body)["supported_nips"]


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_11_2_pages_of_other_sites_may_read_it(relay: RelayProcess, method: str) -> None:
    request = urllib.request.Request(relay.http_url + "/", headers={"Accept": MEDIA_TYPE, "Origin": "http://x"})
    request.method = method

    with urllib.request.urlopen(request, timeout=10) as answer:
        for name in ("Origin", "Headers", "Methods"):
            assert answer.headers[f"Access-Control-Allow-{name}"]


def test_11_4_the_numbers_are_those_of_the_settings(limit: dict[str, Any]) -> None:
    published = {f"RELAY_{name.upper()}": str(number) for name, number in limit.items() if type(number) is int}

    assert published.items() <= SMALL.items()
    assert len(published) == 9


async def test_11_4_max_message_length(small_client: Client, limit: dict[str, Any], author: Author) -> None:
    message = json.dumps(["EVENT", event := author.event("é")], ensure_ascii=False).encode()
    size = limit["max_message_length"]

    await small_client.send_raw(message.ljust(size))
    assert (await small_client.answer_to(event["id"])).accepted

    await small_client.send_raw(message.ljust(size + 1))
    assert await small_client.closed() == 1009


async def test_11_4_max_subscriptions(small_client: Client, limit: dict[str, Any]) -> None:
    for number in range(limit["max_subscriptions"]):
        assert (await small_client.request(str(number), {})).closed is None

    assert str((await small_client.request("one more", {})).closed).startswith("rate-limited: ")


async def test_11_4_max_limit_and_default_limit(small_client: Client, limit: dict[str, Any], author: Author) -> None:
    most, default = limit["max_limit"], limit["default_limit"]
    now = int(time.time())
    await small_client.publish_all(*[author.event(at=now - age) for age in range(most + 1)])

    assert len((await small_client.query(author.events)).events) == default
    for wanted in (default + 1, most, most + 1):
        assert len((await small_client.query(author.events | {"limit": wanted})).events) == min(wanted, most)


async def test_11_4_max_subid_length(small_client: Client, limit: dict[str, Any]) -> None:
    longest = "é" * limit["max_subid_length"]

    assert (await small_client.request(longest, {})).closed is None
    assert str((await small_client.request(longest + "é", {})).closed).startswith("invalid: ")


async def test_11_4_max_event_tags(small_client: Client, limit: dict[str, Any], author: Author) -> None:
    most = [["t", "a"]] * limit["max_event_tags"]

    assert (await small_client.publish(author.event(tags=most))).accepted
    assert (await small_client.publish(author.event(tags=[*most, []]))).text.startswith("invalid: ")


async def test_11_4_max_content_length(small_client: Client, limit: dict[str, Any], author: Author) -> None:
    longest = "😀" * limit["max_content_length"]

    assert (await small_client.publish(author.event(longest))).accepted
    assert (await small_client.publish(author.event(longest + "x"))).text.startswith("invalid: ")


@pytest.mark.parametrize("name, sign", [("created_at_upper_limit", 1), ("created_at_lower_limit", -1)])
async def test_11_4_created_at_limits(
    small_client: Client, limit: dict[str, Any], author: Author, name: str, sign: int
) -> None:
    edge = sign * limit[name]

    assert (await in_one_second(lambda now: small_client.publish(author.event(at=now + edge)))).accepted
    beyond = await in_one_second(lambda now: small_client.publish(author.event(at=now + edge + sign)))
    assert beyond.text.startswith("invalid: ")


def test_11_8_every_worker_answers_the_same(relay: RelayProcess) -> None:
    assert len({get(relay) for _ in range(12)}) == 1
