"""Slots are those that redis-py works out."""

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot as slot_of_redis_py

from relay.caching.shared.slots import key_slot


@given(st.lists(st.sampled_from([b"{", b"}", b"a", b"\x00", b"\xff", b"relay:1"]), max_size=8).map(b"".join))
def test_a_key_has_the_slot_that_redis_py_computes(key: bytes) -> None:
    assert key_slot(key) == slot_of_redis_py(key)
