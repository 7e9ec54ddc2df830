"""A process that verifies lines: `python -m relay.transfer.verifier <settings>`. It needs neither Django nor database.

A frame is the length in 4 bytes and MessagePack. It reads a frame of lines, and answers with a frame of `Verified`,
until its input ends, as it also does when the process that started it dies.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import BinaryIO

import msgspec

from relay.protocol.errors import Invalid
from relay.protocol.event import Event
from relay.protocol.limits import Limits
from relay.protocol.shape import check_shape, decode_event

_decode_typed = msgspec.json.Decoder(Event).decode
_encode = msgspec.msgpack.Encoder().encode
_decode_lines = msgspec.msgpack.Decoder(list[bytes]).decode
_PLACE = re.compile(r"\[\d+\]")


class Verified(msgspec.Struct, array_like=True):
    """The events of a chunk, in order, with the index of each one's line; and the reason for each refused line."""

    numbers: list[int]
    events: list[Event]
    faults: list[tuple[int, str]]


decode_verified = msgspec.msgpack.Decoder(Verified).decode


class Settings(msgspec.Struct):
    """What a verifier is told. `trusted`: signatures are not verified; ids always are."""

    limits: Limits
    trusted: bool

    def text(self) -> str:
        """As an argument of the process."""
        return msgspec.json.encode({"limits": asdict(self.limits), "trusted": self.trusted}).decode()


def frame(value: object) -> bytes:
    """A value as a frame."""
    packed = _encode(value)
    return len(packed).to_bytes(4, "big") + packed


def verify(lines: Sequence[bytes], settings: Settings) -> Verified:
    """Check shape, id and signature of each line; an empty line is skipped."""
    done = Verified([], [], [])
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            event = _event(line, settings.limits)
            if not event.has_valid_id():
                raise Invalid("the id is not the hash of the event")
            if not settings.trusted and not event.has_valid_signature():
                raise Invalid("the signature is not the author's")
        except Invalid as fault:
            done.faults.append((number, _PLACE.sub("[]", fault.text)))
        else:
            done.numbers.append(number)
            done.events.append(event)
    return done


def _event(line: bytes, limits: Limits) -> Event:
    try:
        event = _decode_typed(line)
    except (msgspec.MsgspecError, ValueError):
        return decode_event(line, limits)  # unknown keys, or a fault that it describes
    check_shape(event, limits)
    return event


def serve(settings: Settings, source: BinaryIO, target: BinaryIO) -> None:
    """Answer frames until the input ends."""
    while len(head := source.read(4)) == 4:
        lines = _decode_lines(source.read(int.from_bytes(head, "big")))
        target.write(frame(verify(lines, settings)))
        target.flush()


if __name__ == "__main__":
    serve(msgspec.json.decode(sys.argv[1], type=Settings), sys.stdin.buffer, sys.stdout.buffer)
