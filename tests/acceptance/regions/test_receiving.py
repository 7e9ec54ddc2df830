"""What a region takes from its peers, and what it refuses."""

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import zstandard

from replication import wire
from replication.answers import Fate, Outcome, Taken, decode_status, decode_taken, encode_events
from replication.client import PeerClient, PeerError
from tests.acceptance.client import Client
from tests.acceptance.regions.conftest import EU_URL, SECRET, peer
from tests.acceptance.relay_process import RelayProcess
from tests.events import secret, sign_event

Event = dict[str, Any]
REFUSED = (401, b"refused\n")


def send(client: PeerClient, *events: Event) -> Taken:
    texts = [json.dumps(event).encode() for event in events]
    return decode_taken(client.post(wire.EVENTS_PATH, encode_events(texts)).body)


def fates(taken: Taken) -> list[Fate]:
    return [outcome.fate for outcome in taken.outcomes]


def ask(us: RelayProcess, headers: Mapping[str, str], body: bytes = b"", method: str = "POST") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(us.http_url).port, timeout=10)
    try:
        connection.request(method, wire.EVENTS_PATH, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def signed(body: bytes, *, key: str = SECRET, receiver: str = "us", ago: int = 0, sender: str = "eu") -> dict[str, str]:
    return wire.signed(
        key,
        method="POST",
        path=wire.EVENTS_PATH,
        sender=sender,
        receiver=receiver,
        now=int(time.time()) - ago,
        body=body,
    )


async def test_events_of_a_peer_are_stored_and_delivered(us: RelayProcess, eu: PeerClient) -> None:
    event = sign_event(content="from eu")
    async with Client(us.ws_url) as client:
        await client.request("live", {"ids": [event["id"]]})
        assert send(eu, event).outcomes == [Outcome(Fate.STORED)]
        assert await client.live("live") == event
        assert (await client.query({"ids": [event["id"]]})).events == [event]


def test_the_log_says_from_which_region_an_event_came(us: RelayProcess, eu: PeerClient) -> None:
    event = sign_event(content="with an origin")
    send(eu, event)
    with psycopg.connect(us.services()["DATABASE_URL"]) as connection:
        found = connection.execute(
            "SELECT r.name FROM relay_change c JOIN replication_region r USING (origin) WHERE c.event_id = %s",
            [bytes.fromhex(event["id"])],
        ).fetchall()
    assert found == [("eu",)]


def test_each_event_has_an_outcome_of_its_own(us: RelayProcess, eu: PeerClient) -> None:
    known, newer = sign_event(content="known"), sign_event(kind=0, content="newer", created_at=1_700_000_010)
    send(eu, known, newer)
    older = sign_event(kind=0, content="older", created_at=1_700_000_005)
    forged = sign_event(content="forged") | {"content": "changed"}
    unsigned = sign_event(content="unsigned") | {"sig": "0" * 128}
    taken = send(eu, known, older, forged, unsigned, {"no": "event"}, sign_event(content="good"))

    assert fates(taken) == [Fate.DUPLICATE, Fate.OUTDATED, Fate.REFUSED, Fate.REFUSED, Fate.REFUSED, Fate.STORED]
    assert [outcome.text.partition(":")[0] for outcome in taken.outcomes[2:5]] == ["invalid"] * 3


def test_the_same_events_may_be_sent_again(us: RelayProcess, eu: PeerClient) -> None:
    events = [sign_event(content=f"again {number}") for number in range(20)]
    assert set(fates(send(eu, *events))) == {Fate.STORED}
    assert set(fates(send(eu, *events))) == {Fate.DUPLICATE}


def test_what_was_deleted_does_not_come_back(us: RelayProcess, eu: PeerClient) -> None:
    event = sign_event(content="to be deleted")
    deletion = sign_event(kind=5, tags=[["e", event["id"]]])
    assert fates(send(eu, deletion, event)) == [Fate.STORED, Fate.GONE]


def test_what_has_expired_is_gone(us: RelayProcess, eu: PeerClient) -> None:
    assert fates(send(eu, sign_event(tags=[["expiration", "1700000001"]]))) == [Fate.GONE]


async def test_a_request_to_vanish_that_names_a_peers_address_holds_in_every_region(
    us: RelayProcess, eu: PeerClient
) -> None:
    event = sign_event(secret(7), content="of an author who vanishes")
    vanish = sign_event(secret(7), kind=62, tags=[["relay", EU_URL]])
    assert fates(send(eu, event, vanish)) == [Fate.STORED, Fate.STORED]
    async with Client(us.ws_url) as client:
        assert (await client.query({"authors": [event["pubkey"]]})).events == []
    assert fates(send(eu, event)) == [Fate.GONE]


def test_an_event_that_the_peer_has_just_taken_may_be_further_ahead(us: RelayProcess, eu: PeerClient) -> None:
    now = int(time.time())
    taken = send(eu, sign_event(created_at=now + 930, content="ahead"), sign_event(created_at=now + 1_000, content="x"))
    assert fates(taken) == [Fate.STORED, Fate.REFUSED]


def test_a_protected_event_was_published_in_its_region(us: RelayProcess, eu: PeerClient) -> None:
    assert fates(send(eu, sign_event(tags=[["-"]], content="protected"))) == [Fate.STORED]


async def test_an_ephemeral_event_is_delivered_once(us: RelayProcess, eu: PeerClient) -> None:
    event = sign_event(kind=24_133, created_at=int(time.time()), content="for a signer")
    async with Client(us.ws_url) as client:
        await client.request("live", {"kinds": [24_133]})
        assert fates(send(eu, event)) == [Fate.DELIVERED]
        assert await client.live("live") == event
        assert fates(send(eu, event)) == [Fate.DUPLICATE]


def test_a_peer_is_told_how_much_it_may_send_and_how_this_region_fares(us: RelayProcess, eu: PeerClient) -> None:
    assert 0 < send(eu).accepts.events <= 500
    status = decode_status(eu.get(wire.STATUS_PATH).body)
    assert (status.region, status.ready, status.capacity) == ("us", True, 20_000)
    assert abs(status.time - time.time()) < 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "another secret of 32 characters or more"},
        {"sender": "asia"},
        {"sender": "us"},
        {"receiver": "asia"},
        {"ago": 62},
        {"ago": -70},
    ],
    ids=str,
)
def test_every_refusal_looks_the_same(us: RelayProcess, wrong: dict[str, Any]) -> None:
    assert ask(us, signed(b"[]", **wrong), b"[]") == REFUSED


def test_a_request_without_a_signature_is_refused_alike(us: RelayProcess) -> None:
    assert ask(us, {}, b"[]") == REFUSED


def test_a_body_that_was_exchanged_on_the_way_is_refused(us: RelayProcess) -> None:
    assert ask(us, signed(b"[1]"), b"[2]") == REFUSED


def test_a_request_is_taken_once(us: RelayProcess) -> None:
    headers = signed(b"[]")
    assert ask(us, headers, b"[]")[0] == 200
    assert ask(us, headers, b"[]") == REFUSED


def test_the_method_is_signed(us: RelayProcess) -> None:
    assert ask(us, signed(b""), method="GET") == REFUSED


def test_a_large_body_that_no_peer_has_signed_is_refused(us: RelayProcess) -> None:
    assert ask(us, {}, bytes(4_000_000)) == REFUSED


def test_a_body_above_the_bound_is_refused_unread(us: RelayProcess) -> None:
    headers = {**signed(b""), "content-length": str(wire.MAX_BODY_BYTES + 1)}
    assert ask(us, headers)[0] == 413


def test_other_addresses_take_as_little_as_before(us: RelayProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(us.http_url).port, timeout=10)
    connection.request("POST", "/admin/", b"", {"content-length": "70000"})
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    "content",
    [
        zstandard.ZstdCompressor().compress(bytes(wire.MAX_CONTENT_BYTES + 1)),  # 1 KB that becomes 32 MiB
        zstandard.ZstdCompressor().compress(b"[" + b"0," * 16_000_000 + b"0]"),  # 1.4 GB, if it were read
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1_000)),
        b"no frame",
    ],
)
def test_what_decompresses_to_too_much_is_refused(us: RelayProcess, content: bytes) -> None:
    status, _ = ask(us, {**signed(content), "content-encoding": "zstd"}, content)
    assert status == 400


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"[" + b"1," * 500 + b"1]"])
def test_what_is_no_list_of_events_is_refused(us: RelayProcess, body: bytes) -> None:
    assert ask(us, signed(body), body)[0] == 400


def test_during_a_rotation_the_secret_that_the_peer_knows_is_found(us: RelayProcess) -> None:
    region = peer(us)
    region.rotate("a new secret that us has not heard of yet: 0123")
    with PeerClient(region, "eu") as client:
        assert fates(send(client, sign_event(content="in a rotation"))) in ([Fate.STORED], [Fate.DUPLICATE])


def test_a_client_is_told_why_it_has_no_answer(us: RelayProcess) -> None:
    with PeerClient(peer(us, secret="another secret of 32 characters or more"), "eu") as client:
        with pytest.raises(PeerError, match="401: refused") as refused:
            send(client)
        assert refused.value.is_refusal
    gone = peer(us)
    gone.endpoint = "http://127.0.0.1:9"
    with PeerClient(gone, "eu") as client, pytest.raises(PeerError, match="does not answer") as failed:
        send(client)
    assert not failed.value.is_refusal


def test_refusals_are_counted(us: RelayProcess) -> None:
    _, page = us.get("/metrics")
    for reason in ("signature", "region", "time", "nonce", "body"):
        (line,) = [line for line in page.splitlines() if f'requests_refused_total{{reason="{reason}"}}' in line]
        assert float(line.split()[1]) > 0
