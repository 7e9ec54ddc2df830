"""Which of a Cluster's 16,384 slots a key stands in (Redis Cluster specification): CRC-16 of key or hash tag.

Ours, because redis-py's comes with the whole of redis-py, which costs every process a sixth of a second at its start.
"""

from binascii import crc_hqx

SLOTS = 16_384


def key_slot(key: bytes) -> int:
    """The slot of a key; of `{tag}` in it, if there is one and it is not empty."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS
