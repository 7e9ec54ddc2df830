"""NIP-01: what becomes of an EVENT (01-E01 to 01-E22)."""

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from coincurve import PrivateKey

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Ok
from tests.acceptance.protocol.conftest import OpenClients
from tests.acceptance.relay_process import RelayProcess

Json = dict[str, Any]

PREFIXES = {"duplicate", "pow", "blocked", "rate-limited", "invalid", "restricted", "mute", "error", "auth-required"}
ODD_TEXT = 'é / \u2028 \ufdd1 \x7f \x80 \U0001f600 \n " \\ \r \t \b \f'


def signed(author: Author, preimage: str, fields: Json) -> Json:
    """An event whose id is the hash of `preimage`."""
    digest = hashlib.sha256(preimage.encode()).digest()
    return fields | {"id": digest.hex(), "sig": PrivateKey(author.secret).sign_schnorr(digest).hex()}


async def refusal(client: Client, event: Json) -> str:
    """The text of the answer to an event that must be refused."""
    answer = await client.publish(event)
    assert not answer.accepted, answer
    return answer.text


async def finds(client: Client, event: Json) -> bool:
    return (await client.query({"ids": [event["id"]]})).events == [event]


async def in_one_second(attempt: Callable[[int], Awaitable[Ok]]) -> Ok:
    """The answer of an attempt during which the clock did not go to the next second; it is given that second."""
    for _ in range(20):
        second = int(time.time())
        answer = await attempt(second)
        if int(time.time()) == second:
            return answer
    raise AssertionError("no attempt took less than a second")


async def test_01_e01_every_event_gets_exactly_one_ok(client: Client, author: Author) -> None:
    good, bad = author.event("good"), author.event("bad") | {"sig": "0" * 128}

    await client.send("EVENT", good)
    await client.send("EVENT", bad)
    await client.send("EVENT", good)

    answers = await client.settled()
    assert sorted(answer[1] for answer in answers) == sorted([good["id"], good["id"], bad["id"]])
    assert all(answer[0] == "OK" and len(answer) == 4 for answer in answers)


async def test_01_e01_the_text_of_a_new_event_is_empty(client: Client, author: Author) -> None:
    event = author.event()

    assert await client.publish(event) == Ok(event["id"], True, "")


async def test_01_e02_a_refusal_has_a_prefix_and_a_text(client: Client, author: Author) -> None:
    prefix, _, text = (await refusal(client, author.event() | {"kind": -1})).partition(": ")

    assert prefix in PREFIXES
    assert text


async def test_01_e03_an_id_that_is_not_the_hash_is_invalid(client: Client, author: Author) -> None:
    assert (await refusal(client, author.event("a") | {"content": "b"})).startswith("invalid: ")


async def test_01_e03_a_signature_of_another_event_is_invalid(client: Client, author: Author) -> None:
    assert (await refusal(client, author.event("a") | {"sig": author.event("b")["sig"]})).startswith("invalid: ")


async def test_01_e03_the_id_is_checked_before_the_signature(client: Client, author: Author) -> None:
    assert "id" in await refusal(client, author.event("a") | {"content": "b", "sig": "0" * 128})


async def test_01_e04_the_id_is_of_verbatim_text(client: Client, author: Author) -> None:
    event = author.event(ODD_TEXT, tags=[["t", ODD_TEXT]])

    assert (await client.publish(event)).accepted
    assert await finds(client, event)


async def test_01_e05_escapes_of_the_wire_do_not_change_the_id(client: Client, author: Author) -> None:
    event = author.event("é/\n😀")
    escaped = json.dumps(event).replace("/", r"\/").replace(r"\n", r"\u000a")
    assert r"\u00e9\/\u000a\ud83d\ude00" in escaped

    await client.send_raw(f'["EVENT",{escaped}]')

    assert (await client.answer_to(event["id"])).accepted
    assert await finds(client, event)


@pytest.mark.parametrize("verbatim", [True, False], ids=["verbatim", "as JSON.stringify"])
async def test_01_e06_control_characters_have_either_id(client: Client, author: Author, verbatim: bool) -> None:
    fields: Json = {
        "pubkey": author.pubkey,
        "created_at": 1_700_000_000,
        "kind": 1,
        "tags": [],
        "content": "a\x01\x1fb",
    }
    text = json.dumps([0, *fields.values()], separators=(",", ":"))
    event = signed(author, text.replace(r"\u0001\u001f", "\x01\x1f") if verbatim else text, fields)

    assert (await client.publish(event)).accepted
    assert await finds(client, event)


@pytest.mark.parametrize("content", [rb'"\ud800"', rb'"\udc00\ud800"'], ids=["lone", "turned"])
async def test_01_e07_lone_surrogates_are_refused(client: Client, author: Author, content: bytes) -> None:
    event = author.event("CONTENT")

    await client.send_raw(b'["EVENT",' + json.dumps(event).encode().replace(b'"CONTENT"', content) + b"]")

    answer = await client.answer_to(event["id"])
    assert not answer.accepted
    assert answer.text.startswith("invalid: ")
    assert (await client.publish(event)).accepted


async def test_01_e07_invalid_utf8_closes_with_1007(client: Client, author: Author, relay: RelayProcess) -> None:
    await client.send_raw(b'["REQ","\xff",{}]')

    assert await client.closed() == 1007
    async with Client(relay.ws_url) as neighbour:
        assert (await neighbour.publish(author.event())).accepted


async def test_01_e07_nul_survives_the_round_trip(client: Client, author: Author) -> None:
    event = author.event("\x00a\x00", tags=[["t", "\x00"], ["x", "a\x00b"]])

    assert (await client.publish(event)).accepted

    assert (await client.query(author.events | {"#t": ["\x00"]})).events == [event]
    assert (await client.query(author.events | {"#x": ["a"]})).events == []


@pytest.mark.parametrize("field", ["id", "pubkey", "sig"])
async def test_01_e08_upper_case_hex_is_invalid(client: Client, author: Author, field: str) -> None:
    event = author.event()

    assert (await refusal(client, event | {field: "A" + event[field][1:]})).startswith("invalid: ")


@pytest.mark.parametrize("field", ["id", "pubkey", "sig"])
async def test_01_e08_hex_of_wrong_length_is_invalid(client: Client, author: Author, field: str) -> None:
    event = author.event()

    assert (await refusal(client, event | {field: event[field][:-2]})).startswith("invalid: ")


@pytest.mark.parametrize("kind", [-1, 65_536, 1.5, "1", True, None, 2**70])
async def test_01_e09_what_is_no_kind_is_invalid(client: Client, author: Author, kind: object) -> None:
    assert (await refusal(client, author.event() | {"kind": kind})).startswith("invalid: ")


async def test_01_e09_the_largest_kind_is_stored(client: Client, author: Author) -> None:
    event = author.event(kind=65_535)

    assert (await client.publish(event)).accepted
    assert await finds(client, event)


@pytest.mark.parametrize("created_at", ['"1700000000"', "1700000000.5", "true", "17e8", "-1", str(2**63), str(2**70)])
async def test_01_e10_what_is_no_time_is_invalid(client: Client, author: Author, created_at: str) -> None:
    event = author.event(at=1_700_000_000)

    await client.send_raw(f'["EVENT",{json.dumps(event)}]'.replace("1700000000", created_at))

    answer = await client.answer_to(event["id"])
    assert not answer.accepted
    assert answer.text.startswith("invalid: ")


async def test_01_e10_a_time_beyond_64_bits_does_not_fail_a_filter(client: Client, author: Author) -> None:
    event = author.event(at=0)

    assert (await client.publish(event)).accepted
    assert (await client.query(author.events | {"since": -(2**63), "until": 2**63 - 1})).events == [event]


@pytest.mark.parametrize("offset, accepted", [(600, True), (601, False), (-3600, True), (-3601, False)], ids=str)
async def test_01_e11_created_at_has_a_window(
    small_client: Client, author: Author, offset: int, accepted: bool
) -> None:
    answer = await in_one_second(lambda now: small_client.publish(author.event(at=now + offset)))

    assert answer.accepted is accepted
    assert accepted or answer.text.startswith("invalid: ")


@pytest.mark.parametrize("tags", [None, {}, "", [None], [["t", 1]], [["t", None]], [{}], [["t", ["x"]]]])
async def test_01_e12_tags_are_lists_of_strings(client: Client, author: Author, tags: object) -> None:
    assert (await refusal(client, author.event() | {"tags": tags})).startswith("invalid: ")


async def test_01_e13_empty_tags_are_stored_and_never_found(client: Client, author: Author) -> None:
    event = author.event(tags=[[], [""], ["", "x"], ["t"]])

    assert (await client.publish(event)).accepted

    assert await finds(client, event)
    assert (await client.query(author.events | {"#t": [""]})).events == []


async def test_01_e14_unknown_keys_are_dropped(client: Client, author: Author) -> None:
    event = author.event()

    assert (await client.publish(event | {"seen_on": ["wss://elsewhere"]})).accepted

    assert (await client.query(author.events)).events == [event]


async def test_01_e15_the_last_of_two_values_counts_everywhere(client: Client, author: Author) -> None:
    event = author.event("last", tags=[["t", "last"]])
    text = json.dumps(event)

    await client.send_raw(f'["EVENT",{{"content":"first","tags":[["t","first"]],{text[1:]}]')
    assert (await client.answer_to(event["id"])).accepted

    await client.send_raw(f'["REQ","q",{{"#t":["first"],"#t":["last"],"authors":["{author.pubkey}"]}}]')
    assert (await client.stored("q")).events == [event]


@pytest.mark.parametrize("event", ["{}", '{"id":7}', '{"id":null}', "[]", '"text"', "null"])
async def test_01_e16_without_an_id_to_name_there_is_a_notice(client: Client, event: str) -> None:
    await client.send_raw(f'["EVENT",{event}]')

    assert (await client.notice()).startswith("invalid: ")


async def test_01_e16_any_text_for_an_id_is_answered_with_it(client: Client) -> None:
    await client.send("EVENT", {"id": 'no id "at" all'})

    answer = await client.answer_to('no id "at" all')
    assert not answer.accepted
    assert answer.text.startswith("invalid: ")


async def test_01_e17_an_event_that_is_known_is_accepted_and_not_sent_again(
    clients: OpenClients, author: Author
) -> None:
    reader, *writers = await clients(9)
    event, last = author.event("known"), author.event("last")
    await reader.request("live", author.events)

    assert (await writers[0].publish(event)).text == ""
    for writer in writers:
        assert await writer.publish(event) == Ok(event["id"], True, "duplicate: already have this event")
    await writers[0].publish(last)

    assert [await reader.live("live"), await reader.live("live")] == [event, last]


async def test_01_e18_a_known_id_with_a_wrong_signature_is_not_accepted(clients: OpenClients, author: Author) -> None:
    first, *others = await clients()
    event = author.event()
    await first.publish(event)

    for client in [first, *others]:
        assert (await refusal(client, event | {"sig": author.event("x")["sig"]})).startswith("invalid: ")
    assert (await first.query(author.events)).events == [event]


async def test_01_e19_a_message_of_the_largest_size_is_answered(small_client: Client, author: Author) -> None:
    event = author.event()
    text = json.dumps(["EVENT", event])

    await small_client.send_raw(text + " " * (4096 - len(text)))

    assert (await small_client.answer_to(event["id"])).accepted


async def test_01_e19_one_byte_more_closes_with_1009(small_client: Client, author: Author) -> None:
    text = json.dumps(["EVENT", author.event()])

    await small_client.send_raw(text + " " * (4097 - len(text)))

    assert await small_client.closed() == 1009


@pytest.mark.parametrize("is_last", [False, True], ids=["the id first", "the id last"])
async def test_01_e19_an_event_of_a_message_that_is_too_long_is_refused_by_its_id(
    small_client: Client, author: Author, is_last: bool
) -> None:
    event = author.event("x" * 5_000)
    if is_last:
        event = {"content": event.pop("content"), **event}

    await small_client.send("EVENT", event)

    answer = await small_client.answer_to(event["id"])
    assert not answer.accepted
    assert answer.text.startswith("invalid: a message may have at most")
    assert await small_client.closed() == 1009


async def test_01_e19_an_event_in_fragments_that_are_too_long_is_refused_by_its_id(
    small_client: Client, author: Author
) -> None:
    event = author.event("x" * 90_000)
    text = json.dumps(["EVENT", event])

    await small_client.socket.send([text[:2_000], text[2_000:30_000], text[30_000:60_000], text[60_000:]])

    assert not (await small_client.answer_to(event["id"])).accepted
    assert await small_client.closed() == 1009


async def test_01_e19_a_message_that_is_far_too_long_closes_with_1009(small_client: Client, author: Author) -> None:
    await small_client.send("EVENT", author.event("x" * 500_000))

    assert await small_client.closed() == 1009


async def test_a_contact_list_of_as_many_people_as_the_limit_allows_is_stored(client: Client, author: Author) -> None:
    people = [["p", f"{number:064x}"] for number in range(10_000)]
    contacts = author.event(kind=3, tags=people)

    assert await client.publish(contacts) == Ok(contacts["id"], True, "")

    assert (await client.query({"kinds": [3], "#p": [people[-1][1]]} | author.events)).events == [contacts]


async def test_01_e20_what_was_answered_is_found_on_every_worker(clients: OpenClients, author: Author) -> None:
    writers, readers = await clients(), await clients()

    for writer in writers:
        event = author.event(str(id(writer)))
        assert (await writer.publish(event)).accepted
        assert all([await finds(reader, event) for reader in readers])


@pytest.mark.parametrize(
    "frame", ["{}", "7", "null", '"EVENT"', "[]", '["HELLO"]', "[7]", '["event",{}]', "not JSON", "", "[[]]"]
)
async def test_01_e21_what_is_no_message_gets_a_notice(client: Client, author: Author, frame: str) -> None:
    await client.send_raw(frame)

    assert (await client.notice()).startswith("invalid: ")
    assert (await client.publish(author.event())).accepted


async def test_01_e21_a_binary_frame_gets_a_notice(client: Client, author: Author) -> None:
    await client.socket.send(b'["REQ","q",{}]')

    assert (await client.notice()).startswith("invalid: ")
    assert (await client.publish(author.event())).accepted


async def test_01_e22_a_req_finds_the_event_that_was_sent_before_it(clients: OpenClients, author: Author) -> None:
    for client in await clients():
        event = author.event(str(id(client)))

        await client.send("EVENT", event)
        await client.send("REQ", "q", {"ids": [event["id"]]})

        assert (await client.stored("q")).events == [event]


async def test_01_e22_a_close_right_after_a_req_leaves_nothing_open(client: Client, author: Author) -> None:
    await client.send("REQ", "q", author.events)
    await client.send("CLOSE", "q")
    await client.settled()

    await client.publish(author.event())

    assert [message for message in await client.settled() if message[0] == "EVENT"] == []
