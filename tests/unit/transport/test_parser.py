"""The adapter to picows' private class: what an upgrade of picows must not change."""

from importlib.metadata import version

from picows import WSFrame, WSListener, WSTransport

from relay.transport.parser import READ_BYTES, feed, new_parser
from tests.integration.transport.client import CLOSE, PING, TEXT, close, frame


class Listening(WSListener):
    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.violations: list[tuple[int, str]] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.frames.append((int(frame.msg_type.value), frame.get_payload_as_bytes()))

    def violation(self, code: int, reason: str) -> None:
        self.violations.append((code, reason))


def test_the_version_is_the_one_this_was_written_for() -> None:
    assert version("picows") == "2.3.1"


async def test_frames_pass_and_nothing_is_answered() -> None:
    listening = Listening()
    parser = new_parser(listening, listening.violation, 100_000)
    feed(parser, frame(TEXT, b"x" * 100_000) + frame(PING, b"p") + close(1000))
    assert listening.frames == [(TEXT, b"x" * 100_000), (PING, b"p"), (CLOSE, b"\x03\xe8")]
    assert listening.violations == []


async def test_a_broken_frame_is_told_once_with_its_code() -> None:
    listening = Listening()
    parser = new_parser(listening, listening.violation, 10)
    feed(parser, frame(TEXT, b"ok") + frame(TEXT, b"too much for it") + frame(TEXT, b"never"))
    assert listening.frames == [(TEXT, b"ok")]
    assert [code for code, _ in listening.violations] == [1009]


async def test_one_read_is_bounded_however_big_the_buffer_grew() -> None:
    listening = Listening()
    parser = new_parser(listening, listening.violation, 1_000_000)
    assert len(memoryview(parser.get_buffer(-1))) < 2048
    feed(parser, frame(TEXT, b"x" * 900_000))
    assert len(memoryview(parser.get_buffer(-1))) == READ_BYTES
