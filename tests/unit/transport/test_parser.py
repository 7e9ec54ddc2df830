"""The adapter to picows' private class: what an upgrade of picows must not change."""

import asyncio
from importlib.metadata import version

from hypothesis import given
from hypothesis import strategies as st
from picows import WSFrame, WSListener, WSTransport

from relay.transport.parser import READ_BYTES, feed, is_empty, new_parser
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


async def test_growth_of_the_buffer_is_told_with_its_size() -> None:
    listening, sizes = Listening(), list[int]()
    parser = new_parser(listening, listening.violation, 1_000_000, sizes.append)
    feed(parser, frame(TEXT, b"x" * 10_000))
    assert sizes == []
    whole = frame(TEXT, b"x" * 900_000)
    feed(parser, whole[:-1])
    assert sizes == [1792 * 2**at for at in range(5, 11)]
    feed(parser, whole[-1:] + whole)
    assert len(sizes) == 6


async def test_a_grown_buffer_is_empty_when_no_part_of_a_frame_is_in_it() -> None:
    listening = Listening()
    parser = new_parser(listening, listening.violation, 1_000_000)
    whole = frame(TEXT, b"x" * 300_000)
    feed(parser, whole[:-1])
    assert not is_empty(parser)
    feed(parser, whole[-1:])
    assert is_empty(parser)
    feed(parser, whole[:1])
    assert not is_empty(parser)


@given(st.lists(st.integers(1, 120_000), max_size=8), st.integers(0, 150_000), st.integers(1, 40_000))
def test_it_is_known_whether_a_grown_buffer_is_empty(sizes: list[int], unfinished: int, piece: int) -> None:
    async def run() -> None:
        listening, grown = Listening(), list[int]()
        parser = new_parser(listening, listening.violation, 1_000_000, grown.append)
        data = b"".join(frame(TEXT, b"x" * size) for size in sizes)
        if unfinished:
            data += frame(TEXT, b"x" * 150_001)[:unfinished]
        for start in range(0, len(data), piece):
            feed(parser, data[start : start + piece])
            if is_empty(parser):
                assert sum(len(frame(TEXT, text)) for _, text in listening.frames) == min(len(data), start + piece)
        assert len(listening.frames) == len(sizes)
        if grown:
            assert is_empty(parser) == (not unfinished)

    asyncio.run(run())
