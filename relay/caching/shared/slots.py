"""The hash slot of a key in a Redis Cluster: CRC-16 of the key or of its hash tag (Redis Cluster specification).

Our own, because importing redis-py's costs every process a sixth of a second at its start.
"""

from binascii import crc_hqx

SLOTS = 16_384


def key_slot(key: bytes) -> int:
    """The slot (0 to 16,383) of a key; a non-empty `{tag}` in it is hashed in place of the whole key."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS
