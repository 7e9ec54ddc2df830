"""What EOSE says of the end of the stored events (NIP-67), from memory and from the database."""

import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client


async def hint(client: Client, *filters: object) -> list[str]:
    """The third element of EOSE, [] without one."""
    await client.request("s", *filters)
    return client.hints["s"]


async def test_67_1_an_answer_with_every_match_is_finished(client: Client, author: Author) -> None:
    await client.publish_all(author.event("a"), author.event("b"))

    for filters in ([author.events], [author.events | {"limit": 2}], [author.events, {"ids": ["0" * 64]}]):
        assert await hint(client, *filters) == ["finish"]


async def test_67_1_a_limit_that_cuts_leaves_more(client: Client, author: Author) -> None:
    await client.publish_all(*[author.event(str(number)) for number in range(3)])

    assert await hint(client, author.events | {"limit": 2}) == ["more"]
    assert await hint(client, author.events | {"limit": 1}, {"ids": ["0" * 64]}) == ["more"]


async def test_67_1_what_one_filter_cuts_and_another_sends_is_not_more(client: Client, author: Author) -> None:
    await client.publish_all(author.event("a"), author.event("b"))

    assert await hint(client, author.events | {"limit": 1}, author.events) != ["more"]


async def test_67_1_the_relays_own_limit_leaves_more(small_client: Client, author: Author) -> None:
    at = [author.event(str(number), at=author.event()["created_at"] - number) for number in range(6)]
    await small_client.publish_all(*at)

    assert await hint(small_client, author.events) == ["more"]
    assert await hint(small_client, author.events | {"limit": 6}) == ["finish"]


async def test_67_2_a_limit_of_zero_is_not_finished(client: Client, author: Author) -> None:
    await client.publish_all(author.event())

    assert await hint(client, author.events | {"limit": 0}) == []


async def test_67_2_events_for_others_are_neither_more_nor_missing(
    client: Client, author: Author, other: Author
) -> None:
    letters = [author.event(str(number), kind=4, tags=[["p", other.pubkey]]) for number in range(2)]
    await client.publish_all(author.event(), *letters)

    assert await hint(client, author.events | {"limit": 1}) == ["finish"]
    await client.log_in(author)
    assert await hint(client, author.events | {"limit": 1}) == ["more"]
    assert await hint(client, author.events) == ["finish"]


@pytest.mark.parametrize("count, expected", [(1, ["finish"]), (2, ["more"])])
async def test_67_3_the_answer_that_is_asked_again_after_a_change_says_it_anew(
    client: Client, author: Author, count: int, expected: list[str]
) -> None:
    asked = author.events | {"kinds": [1, 30_023], "limit": 1}
    assert await hint(client, asked) == ["finish"]
    await client.publish_all(*[author.event(str(number)) for number in range(count)])

    assert [await hint(client, asked) for _ in range(3)] == [expected] * 3
