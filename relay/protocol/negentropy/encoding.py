"""Varints and bounds, read from what a peer sent and written for it (77-4).

Rule: what a message announces is believed only as far as its bytes are there, and only in its one minimal form.
"""

from typing import Final

from relay.protocol.errors import Invalid

ID_BYTES: Final = 32
TIME_BYTES: Final = 8
FINGERPRINT_BYTES: Final = 16

INFINITY: Final = b"\xff" * TIME_BYTES
"""The bound above every item: times of items end below 2^63."""

_MAX_VARINT_BYTES: Final = 10
_MAX_TIME: Final = 2**64 - 1


def varint(number: int) -> bytes:
    """Base 128, most significant digit first; all bytes but the last have the high bit set."""
    text = bytearray((number & 0x7F,))
    while number := number >> 7:
        text.append(number & 0x7F | 0x80)
    text.reverse()
    return bytes(text)


class Reader:
    """Reads one message from its beginning. Every method raises Invalid for what is cut off or out of range.

    A *bound* is the 8 bytes of a time, most significant first, and 0 to 32 bytes of an id: bounds and items compare as
    bytes.
    """

    __slots__ = ("_at", "_message", "_time")

    def __init__(self, message: bytes, at: int) -> None:
        self._message = message
        self._at = at
        self._time = 0

    def has_more(self) -> bool:
        """True until all bytes were read."""
        return self._at < len(self._message)

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        ends = self._at + size
        if ends > len(self._message):
            raise Invalid("the negentropy message is cut off")
        taken = self._message[self._at : ends]
        self._at = ends
        return taken

    def varint(self) -> int:
        """A number below 2^64."""
        number = 0
        for digits in range(_MAX_VARINT_BYTES):
            byte = self.take(1)[0]
            if byte == 0x80 and not digits:
                break
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                if number > _MAX_TIME:
                    break
                return number
        raise Invalid("a negentropy number is not minimal, or above 64 bits")

    def bound(self) -> bytes:
        """The upper bound of the next range: its time is told as a difference to the one before, 0 for infinity."""
        told = self.varint()
        self._time = min(self._time + told - 1, _MAX_TIME) if told else _MAX_TIME
        length = self.varint()
        if length > ID_BYTES:
            raise Invalid("a negentropy bound has a prefix of more than 32 bytes")
        return self._time.to_bytes(TIME_BYTES, "big") + self.take(length)

    def ids(self) -> list[bytes]:
        """A list of ids after its count."""
        count = self.varint()
        if count * ID_BYTES > len(self._message) - self._at:
            raise Invalid("a negentropy list of ids is cut off")
        text = self.take(count * ID_BYTES)
        return [text[at : at + ID_BYTES] for at in range(0, len(text), ID_BYTES)]


class BoundWriter:
    """Writes the bounds of one message. `time`: of the last one; a caller that drops what was written resets it."""

    __slots__ = ("time",)

    def __init__(self) -> None:
        self.time = 0

    def encode(self, bound: bytes) -> bytes:
        """`bound` as `Reader.bound` reads it; bounds must not go down."""
        time = int.from_bytes(bound[:TIME_BYTES], "big")
        told = 0 if time == _MAX_TIME else time - self.time + 1
        self.time = time
        return varint(told) + varint(len(bound) - TIME_BYTES) + bound[TIME_BYTES:]
