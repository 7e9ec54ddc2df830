"""The newest profiles of some authors, as PostgreSQL answers: their texts, or that they are too large together."""

from typing import Any

import pytest

from relay.storage.fair_queue import INTERNAL
from relay.storage.profiles import MOST_BYTES, TooLarge, newest_profiles
from relay.storage.query_cost import Cost

ADA = "a" * 64
TEXT = b'{"id":"%b","pubkey":"%b"}' % (b"1" * 64, ADA.encode())


class Reads:
    """Answers with one row, and keeps what it was asked."""

    def __init__(self, is_large: bytes, texts: bytes | None) -> None:
        self.row = (b"", is_large, texts)
        self.parameters: Any = ()
        self.owner = ""
        self.cost = Cost(0, False)

    async def fetch(self, _text: str, parameters: Any, *, owner: str, cost: Cost) -> Any:
        self.parameters, self.owner, self.cost = parameters, owner, cost
        return 7, [self.row]


async def test_the_texts_come_by_author_with_their_position() -> None:
    reads: Any = Reads(b"\x00", TEXT)
    assert await newest_profiles(reads, [ADA]) == (7, {ADA: TEXT})
    assert reads.parameters[2] == MOST_BYTES


async def test_a_client_is_charged_for_each_author_that_it_asks_for() -> None:
    reads: Any = Reads(b"\x00", None)
    await newest_profiles(reads, [f"{number:064x}" for number in range(100)], "203.0.113.7")
    assert reads.owner == "203.0.113.7" != INTERNAL
    assert reads.cost.ms == pytest.approx(5.0)


async def test_an_author_without_a_profile_is_missing() -> None:
    reads: Any = Reads(b"\x00", None)
    assert await newest_profiles(reads, [ADA]) == (7, {})


async def test_texts_that_were_not_joined_are_not_taken_for_none() -> None:
    reads: Any = Reads(b"\x01", None)
    with pytest.raises(TooLarge):
        await newest_profiles(reads, [ADA])
