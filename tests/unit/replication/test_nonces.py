"""A request is taken once."""

import pytest

from replication.receive import nonces as module
from replication.receive.nonces import Nonces
from replication.wire import NONCE_SECONDS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_nonce_is_new_once() -> None:
    nonces = Nonces()
    assert await nonces.is_new("store", "eu", "1")
    assert not await nonces.is_new("store", "eu", "1")
    assert await nonces.is_new("store", "us", "1")


async def test_a_nonce_is_known_for_as_long_as_its_request_could_be_repeated() -> None:
    clock = Clock()
    nonces = Nonces(clock=clock)
    clock.now = NONCE_SECONDS - 1
    assert await nonces.is_new("store", "eu", "late in the first period")
    clock.now = 2 * NONCE_SECONDS - 2
    assert not await nonces.is_new("store", "eu", "late in the first period")


async def test_old_nonces_are_forgotten() -> None:
    clock = Clock()
    nonces = Nonces(clock=clock)
    for period in range(10):
        clock.now = period * (NONCE_SECONDS + 1.0)
        for number in range(100):
            await nonces.is_new("store", "eu", f"{period} {number}")
    assert len(nonces) <= 200


async def test_a_peer_that_sends_without_end_fills_no_memory_and_keeps_no_other_from_sending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_NONCES", 3)
    nonces = Nonces()
    assert [await nonces.is_new("store", "eu", str(number)) for number in range(5)] == [True] * 3 + [False] * 2
    assert await nonces.is_new("store", "us", "1")
