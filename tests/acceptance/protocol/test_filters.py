"""NIP-01: what a filter finds, stored and live (01-F01 to 01-F19)."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess
from tests.strategies import event_lists, filter_lists

Json = dict[str, Any]

MANY = 505  # more than the default limit of 500


async def found(client: Client, *filters: Json) -> list[str]:
    """The contents of what is found, in order."""
    return [event["content"] for event in (await client.query(*filters)).events]


async def why_closed(client: Client, *filters: Any) -> str:
    """The reason for which a REQ is refused; no event and no EOSE may come for it (01-S02)."""
    answer = await client.request("refused", *filters)
    assert answer.closed is not None
    assert answer.events == []
    assert await client.settled() == []
    return answer.closed


async def test_01_f01_conditions_of_a_filter_must_all_hold(client: Client, author: Author) -> None:
    await client.publish_all(
        author.event("1a", at=1, tags=[["t", "a"]]),
        author.event("7a", kind=7, at=2, tags=[["t", "a"]]),
        author.event("1b", at=3, tags=[["t", "b"]]),
        author.event("1ab", at=4, tags=[["t", "a"], ["r", "b"]]),
    )

    assert await found(client, author.events | {"kinds": [1], "#t": ["a"]}) == ["1ab", "1a"]
    assert await found(client, author.events | {"#t": ["a"], "#r": ["b"]}) == ["1ab"]
    assert await found(client, author.events | {"#t": ["a"], "#r": ["a"]}) == []


async def test_01_f01_one_value_of_a_list_is_enough(client: Client, author: Author, other: Author) -> None:
    await client.publish_all(
        author.event("a", at=1, tags=[["t", "a"]]), author.event("b", kind=7, at=2, tags=[["t", "b"]]), other.event("c")
    )

    assert await found(client, author.events | {"#t": ["a", "b", "c"]}) == ["b", "a"]
    assert await found(client, author.events | {"kinds": [1, 7, 9]}) == ["b", "a"]
    assert await found(client, {"authors": [author.pubkey, other.pubkey]}) == ["c", "b", "a"]


async def test_01_f01_one_filter_of_a_req_is_enough(client: Client, author: Author) -> None:
    await client.publish_all(author.event("a", at=1), author.event("b", kind=7, at=2), author.event("c", kind=9, at=3))

    assert await found(client, author.events | {"kinds": [1]}, author.events | {"kinds": [9]}) == ["c", "a"]


@pytest.mark.parametrize("name", ["ids", "authors", "#e", "#p"])
@pytest.mark.parametrize("value", ["ab" * 31, "ab" * 33, "AB" * 32, "xy" * 32, "", "ab"])
async def test_01_f02_hex_that_is_not_exact_is_invalid(client: Client, name: str, value: str) -> None:
    assert (await why_closed(client, {name: [value]})).startswith("invalid: ")


async def test_01_f03_since_and_until_are_inclusive(client: Client, author: Author) -> None:
    await client.publish_all(*[author.event(str(at), at=at) for at in range(1, 6)])

    assert await found(client, author.events | {"since": 2, "until": 4}) == ["4", "3", "2"]


async def test_01_f03_since_after_until_finds_nothing(client: Client, author: Author) -> None:
    await client.publish_all(author.event(at=3))

    answer = await client.query(author.events | {"since": 4, "until": 2})

    assert (answer.events, answer.closed) == ([], None)


async def test_01_f04_the_letters_of_tags_have_a_case(client: Client, author: Author, other: Author) -> None:
    await client.publish_all(
        author.event("small", tags=[["p", other.pubkey]]), author.event("large", tags=[["P", other.pubkey]])
    )

    assert await found(client, {"#p": [other.pubkey]}) == ["small"]
    assert await found(client, {"#P": [other.pubkey]}) == ["large"]


@pytest.mark.parametrize("name", ["#ee", "#1", "#", "#é", "e"])
async def test_01_f04_other_names_are_unknown_keys(client: Client, name: str) -> None:
    assert (await why_closed(client, {name: ["x"]})).startswith("unsupported: ")


async def test_01_f05_the_first_value_of_a_tag_is_matched(client: Client, author: Author) -> None:
    event = author.event("x", tags=[["t", "a", "b"], ["t", "c"], ["r"]])
    await client.publish_all(event)

    assert await found(client, author.events | {"#t": ["a"]}) == ["x"]
    assert await found(client, author.events | {"#t": ["c"]}) == ["x"]
    assert await found(client, author.events | {"#t": ["b"]}) == []
    assert await found(client, author.events | {"#r": [""]}) == []


async def test_01_f05_a_long_value_is_matched_whole(client: Client, author: Author) -> None:
    value = "x" * 5_000
    await client.publish_all(author.event("long", tags=[["r", value]]))

    assert await found(client, author.events | {"#r": [value]}) == ["long"]
    assert await found(client, author.events | {"#r": [value[:-1] + "y"]}) == []


async def test_01_f06_e_and_p_tags_need_not_be_hex(client: Client, author: Author) -> None:
    event = author.event(tags=[["e", "not hex"], ["p", "npub1"], ["e"]])

    assert (await client.publish(event)).accepted
    assert (await client.query(author.events)).events == [event]


@pytest.mark.parametrize("wanted", [{"search": "x"}, {"&t": ["a"]}, {"kind": [1]}, {"": 1}, {"limits": 1}])
async def test_01_f07_an_unknown_key_is_unsupported(client: Client, author: Author, wanted: Json) -> None:
    assert (await why_closed(client, author.events | wanted)).startswith("unsupported: ")


@pytest.mark.parametrize("name", ["ids", "authors", "kinds", "#t", "#e"])
async def test_01_f08_an_empty_list_matches_nothing(client: Client, author: Author, name: str) -> None:
    await client.publish_all(author.event("stored", tags=[["t", ""]]))

    answer = await client.request("empty", author.events | {name: []})
    assert (answer.events, answer.closed) == ([], None)

    await client.publish(author.event("live", tags=[["t", ""]]))
    assert [message for message in await client.settled() if message[0] != "OK"] == []


@pytest.mark.parametrize(
    "wanted",
    [
        {"ids": "a" * 64}, {"ids": [7]}, {"ids": None}, {"authors": {}}, {"authors": [None]},
        {"kinds": "1"}, {"kinds": ["1"]}, {"kinds": [1.0]}, {"kinds": [True]}, {"kinds": 1}, {"kinds": None},
        {"since": "123"}, {"since": None}, {"until": 1.5}, {"until": True}, {"since": 2**64}, {"until": -(2**63) - 1},
        {"limit": -1}, {"limit": "5"}, {"limit": None}, {"limit": 1.5}, {"limit": 2**64}, {"limit": False},
        {"#t": "a"}, {"#t": [1]}, {"#t": None}, {"#t": [["a"]]},
    ],
    ids=str,
)  # fmt: skip
async def test_01_f09_wrong_types_are_invalid(client: Client, author: Author, wanted: Json) -> None:
    assert (await why_closed(client, author.events | wanted)).startswith("invalid: ")


@pytest.mark.parametrize("kind", [-1, 65_536, 2**31, 2**63])
async def test_01_f10_kinds_out_of_range_are_invalid(client: Client, kind: int) -> None:
    assert (await why_closed(client, {"kinds": [1, kind]})).startswith("invalid: ")


async def test_01_f11_the_empty_filter_finds_everything(client: Client, author: Author) -> None:
    event = author.event()
    await client.request("all", {})
    await client.publish(event)

    assert await client.live("all") == event
    assert event in (await client.query({})).events


async def test_01_f12_doubles_in_a_list_find_an_event_once(client: Client, author: Author) -> None:
    event = author.event(tags=[["t", "a"], ["t", "a"], ["t", "b"]])
    await client.publish_all(event)

    for wanted in ({"ids": [event["id"]] * 2}, {"#t": ["a", "a", "b"]}, {"kinds": [1, 1]}, {}):
        assert (await client.query(author.events | wanted, {"authors": [author.pubkey] * 2})).events == [event]


async def test_01_f13_the_newest_come_first_and_ties_by_lowest_id(client: Client, author: Author) -> None:
    events = [author.event(str(number), at=number // 3) for number in range(12)]
    await client.publish_all(*events)
    order = sorted(events, key=lambda event: (-event["created_at"], event["id"]))

    for limit in (1, 2, 5, 12):
        assert (await client.query(author.events | {"limit": limit})).events == order[:limit]


async def test_01_f13_the_limit_is_that_of_each_filter(client: Client, author: Author) -> None:
    await client.publish_all(*[author.event(str(at), kind=1 + at % 2, at=at) for at in range(1, 7)])

    filters = [author.events | {"kinds": [kind], "limit": 2} for kind in (1, 2)]

    assert await found(client, *filters) == ["6", "5", "4", "3"]


async def test_01_f14_a_union_comes_in_one_order_and_each_event_once(client: Client, author: Author) -> None:
    events = [author.event(str(at), kind=7_001 + at % 3, at=at, tags=[["t", str(at % 2)]]) for at in range(9)]
    await client.publish_all(*events)

    wanted = [
        author.events | {"kinds": [7_003]},
        author.events | {"#t": ["0"]},
        author.events | {"kinds": [7_001, 7_003]},
    ]

    assert await found(client, *wanted) == ["8", "6", "5", "4", "3", "2", "0"]


async def test_01_f15_the_limit_does_not_end_the_live_events(client: Client, author: Author) -> None:
    await client.request("live", author.events | {"limit": 1})
    events = [author.event(str(at), at=at) for at in range(3)]

    for event in events:
        await client.publish(event)

    assert [await client.live("live") for _ in events] == events


async def test_01_f16_limit_0_finds_nothing_and_is_live(client: Client, author: Author) -> None:
    await client.publish_all(author.event("stored"))

    answer = await client.request("live", author.events | {"limit": 0})
    assert (answer.events, answer.closed) == ([], None)

    event = author.event("new")
    await client.publish(event)
    assert await client.live("live") == event


async def test_01_f17_without_a_limit_the_default_is_sent(client: Client, author: Author) -> None:
    events = [author.event(str(at), kind=20_000 + 10_000 * 2, at=at) for at in range(MANY)]
    await client.publish_all(*events)

    assert (await client.query(author.events)).events == events[: MANY - 501 : -1]


async def test_01_f17_a_limit_above_the_largest_is_clamped(small_client: Client, author: Author) -> None:
    events = [author.event(str(number), at=author.event()["created_at"] - number) for number in range(11)]
    await small_client.publish_all(*events)

    assert (await small_client.query(author.events)).events == events[:4]
    for limit in (9, 1_000_000, 2**63 - 1, 2**64 - 1):
        assert (await small_client.query(author.events | {"limit": limit})).events == events[:8]


async def test_01_f18_where_the_relay_cuts_the_second_is_whole(small_client: Client, author: Author) -> None:
    now = author.event()["created_at"]
    newest = author.event("newest", at=now)
    same = sorted((author.event(str(n), at=now - 1) for n in range(5)), key=lambda event: str(event["id"]))
    await small_client.publish_all(newest, *same, author.event("older", at=now - 2))

    assert (await small_client.query(author.events)).events == [newest, *same]
    assert (await small_client.query(author.events | {"limit": 3})).events == [newest, *same[:2]]


async def test_01_f18_a_second_is_cut_at_twice_the_cap(small_client: Client, author: Author) -> None:
    now = author.event()["created_at"]
    same = sorted((author.event(str(n), at=now) for n in range(10)), key=lambda event: str(event["id"]))
    await small_client.publish_all(*same)

    assert (await small_client.query(author.events)).events == same[:8]


async def test_01_f18_paging_by_until_loses_nothing(small_client: Client, author: Author) -> None:
    now = author.event()["created_at"]
    events = [author.event(str(number), at=now - number // 3) for number in range(30)]
    await small_client.publish_all(*events)
    seen: set[str] = set()
    until = now

    while page := (await small_client.query(author.events | {"until": until})).events:
        seen |= {event["id"] for event in page}
        until = page[-1]["created_at"] - 1

    assert seen == {event["id"] for event in events}


async def test_01_f19_an_event_outside_of_the_window_is_not_sent_live(client: Client, author: Author) -> None:
    await client.request("window", author.events | {"since": 5, "until": 7})
    inside = author.event("7", at=7)

    await client.publish_all(author.event("8", at=8), author.event("4", at=4), inside)

    assert [message for message in await client.settled() if message[0] == "EVENT"] == [["EVENT", "window", inside]]


@settings(
    max_examples=30, deadline=None, phases=[Phase.explicit, Phase.generate], derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(written=event_lists(max_size=12, kinds=[1, 7, 40_001], signed=True, expiring=False), wanted=filter_lists())
def test_01_f19_stored_and_live_find_the_same(
    relay: RelayProcess, written: Sequence[Json], wanted: Sequence[Json]
) -> None:
    import asyncio

    asyncio.run(_both_engines_agree(relay, written, [dict(one) | {"limit": 500} for one in wanted]))


async def _both_engines_agree(relay: RelayProcess, written: Sequence[Json], wanted: list[Json]) -> None:
    from tests.oracle import naive_match

    marker = Author()  # marks the events of this example, which would be known from the one before otherwise
    mark = {"#z": [marker.pubkey]}
    events = [
        marker.event(one["content"], kind=one["kind"], at=one["created_at"], tags=[*one["tags"], ["z", marker.pubkey]])
        for one in written
    ]
    filters = [{name: value for name, value in one.items() if name not in ("ids", "authors")} | mark for one in wanted]
    async with Client(relay.ws_url) as reader, Client(relay.ws_url) as writer:
        assert (await reader.request("live", *filters)).events == []
        await writer.publish_all(*events)
        expected = {event["id"] for event in events if any(naive_match(one, event) for one in filters)}

        live = [await reader.live("live") for _ in expected]
        stored = await writer.query(*filters)

        assert {event["id"] for event in live} == expected
        assert set(stored.ids) == expected
        assert await reader.settled() == []
