"""Lines in chunks: numbers, lengths, and going on from a position."""

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.transfer import lines
from relay.transfer.lines import Chunk, LineReader


def chunks(text: bytes, max_line: int = 20, skipped: Chunk | None = None) -> list[Chunk]:
    reader = LineReader(io.BytesIO(text), max_line)
    if skipped is not None:
        assert reader.skip_to(skipped.end, skipped.end_line, skipped.digest)
    found = []
    while (chunk := reader.next_chunk()) is not None:
        found.append(chunk)
    return found


def numbered(found: Sequence[Chunk]) -> dict[int, bytes]:
    """Every line that is not blank by its number; `too long` for one that was dropped."""
    return {
        chunk.first + index: b"too long" if index in chunk.too_long else line
        for chunk in found
        for index, line in enumerate(chunk.lines)
        if line or index in chunk.too_long
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", {}),
        (b"\n\n", {}),
        (b"a\nb\n", {1: b"a", 2: b"b"}),
        (b"a\nb", {1: b"a", 2: b"b"}),
        (b"a\r\n\r\n \t\r\nb\r\n", {1: b"a", 4: b"b"}),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", {1: b"a", 2: b"\xef\xbb\xbfb"}),
        (b"\xff\xfe\nb\n", {1: b"\xff\xfe", 2: b"b"}),
        (b"x" * 20 + b"\r\nb", {1: b"x" * 20, 2: b"b"}),
        (b"x" * 21 + b"\nb", {1: b"too long", 2: b"b"}),
        (b"x" * 5_000_000 + b"\nb", {1: b"too long", 2: b"b"}),
        (b"a\n" + b"x" * 5_000_000, {1: b"a", 2: b"too long"}),
    ],
)
def test_each_line_has_its_number(text: bytes, expected: dict[int, bytes]) -> None:
    assert numbered(chunks(text)) == expected


def test_the_beginning_of_a_line_that_is_too_long_is_kept() -> None:
    (chunk,) = chunks(b"0123456789" * 3)

    assert chunk.too_long == {0: b"0123456789012345678901"}


def test_a_chunk_ends_with_the_line_that_reaches_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CHUNK_BYTES", 10)

    assert [chunk.lines for chunk in chunks(b"123456\n123456\n1\n")] == [[b"123456", b"123456"], [b"1"]]


TEXTS = st.lists(
    st.sampled_from([b"a", b"bc", b"", b" ", b"x" * 20, b"x" * 23, b"x" * 100, b"\xff", b"\xef\xbb\xbf"]), max_size=30
).flatmap(lambda parts: st.sampled_from([b"\n", b"\r\n"]).map(lambda end: end.join(parts)))


@given(text=TEXTS, size=st.integers(1, 5), data=st.data())
def test_reading_on_from_any_chunk_finds_the_rest(text: bytes, size: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "CHUNK_LINES", size)
        whole = chunks(text)
        assert sum(len(chunk.lines) for chunk in whole) == len(text.split(b"\n")) - (text[-1:] in (b"\n", b""))
        if not whole:
            return
        place = data.draw(st.integers(0, len(whole) - 1))
        assert chunks(text, skipped=whole[place]) == whole[place + 1 :]


def test_other_input_is_not_read_on() -> None:
    (chunk,) = chunks(b"a\nb\n")

    assert not LineReader(io.BytesIO(b"a\nc\nd\n"), 20).skip_to(chunk.end, chunk.end_line, chunk.digest)
    assert not LineReader(io.BytesIO(b"a\n"), 20).skip_to(chunk.end, chunk.end_line, chunk.digest)
