"""The bytes of a server's frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close

from relay.transport.frames import BINARY, close_frame, cut_reason, frame, is_wire_close_code, text_frames


def test_the_header_has_the_shortest_form_for_each_size() -> None:
    sizes = {0: 2, 125: 2, 126: 4, 65535: 4, 65536: 10}
    for size, header in sizes.items():
        assert len(text_frames([b"x" * size])) == size + header
        assert len(frame(BINARY, b"x" * size)) == size + header


def test_the_examples_of_the_rfc() -> None:
    assert text_frames([b"Hello"]) == bytes.fromhex("810548656c6c6f")
    assert frame(0xA, b"Hello") == bytes.fromhex("8a0548656c6c6f")
    assert frame(BINARY, b"x" * 256)[:4] == bytes.fromhex("827e0100")
    assert frame(BINARY, b"x" * 65536)[:10] == bytes.fromhex("827f0000000000010000")


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_joined_frames_are_the_frames_one_after_the_other(payloads: list[bytes]) -> None:
    assert text_frames(payloads) == b"".join(frame(1, payload) for payload in payloads)


@given(st.text(max_size=200))
def test_a_reason_is_cut_at_the_border_of_a_character(reason: str) -> None:
    cut = cut_reason(reason)
    assert len(cut) <= 123
    assert reason.encode("utf-8", "replace").startswith(cut)
    assert cut.decode() is not None
    if len(reason.encode("utf-8", "replace")) > 123:
        assert len(cut) > 119


def test_a_close_frame_is_what_another_library_reads() -> None:
    raw = close_frame(4001, "ä" * 100)
    assert len(raw) <= 127
    assert Close.parse(raw[2:]) == Close(4001, "ä" * 61)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536])
def test_a_code_that_must_not_be_sent_is_refused(code: int) -> None:
    assert not is_wire_close_code(code)
    with pytest.raises(ValueError, match=str(code)):
        close_frame(code)
