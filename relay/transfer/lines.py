"""Lines in chunks: the unit that a process verifies, and that a state file counts."""

import hashlib
import time
from typing import Protocol

import msgspec

from relay.transfer.files import FAULTS_OF_INPUT

CHUNK_LINES = 500
CHUNK_BYTES = 524_288
"""A chunk ends after CHUNK_LINES lines, or with the line that reaches CHUNK_BYTES bytes."""

CHUNK_SECONDS = 0.2
"""A chunk of a slow input ends with the first line after this time."""

SKIP_BYTES = 1_048_576
"""What is dropped at a time of a line that is too long, or of the part that a former run has imported."""

EXAMPLE_BYTES = 200
"""What is kept of a line that is too long."""

_BOM = b"\xef\xbb\xbf"


class Readable(Protocol):
    """The part of a binary stream that a reader needs."""

    def readline(self, size: int, /) -> bytes:
        """A line with its line feed, at most `size` bytes of it; empty at the end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""


class Chunk(msgspec.Struct):
    """Successive lines without their ends. `first` is the number of the first one, from 1.

    Blank lines and those that are too long are empty here; `too_long` has the beginning of each of the latter by its
    index. `end`, `end_line` and `digest`: bytes, lines and SHA-256 of the (decompressed) input up to the chunk's end.
    """

    first: int
    lines: list[bytes]
    too_long: dict[int, bytes]
    end: int = 0
    end_line: int = 0
    digest: str = ""


class LineReader:
    """Reads a stream in chunks. A line longer than `max_line` bytes is dropped without being held in memory."""

    def __init__(self, stream: Readable, max_line: int) -> None:
        self._stream = stream
        self._max_line = max_line
        self._offset = 0
        self._line = 0
        self._digest = hashlib.sha256()
        self._fault: Exception | None = None

    def skip_to(self, offset: int, line: int, digest: str) -> bool:
        """Drop the first `offset` bytes, which are `line` lines; `next_chunk` goes on after them.

        False if the stream is shorter, or they are not those of `digest`.
        """
        while self._offset < offset:
            dropped = self._stream.read(min(SKIP_BYTES, offset - self._offset))
            if not dropped:
                return False
            self._take(dropped)
        self._line = line
        return self._digest.hexdigest() == digest

    def _take(self, raw: bytes) -> None:
        self._offset += len(raw)
        self._digest.update(raw)

    def next_chunk(self) -> Chunk | None:
        """The next lines, None at the end. Raises what the stream raises."""
        chunk = Chunk(self._line + 1, [], {})
        began, ends, size = self._offset, time.monotonic() + CHUNK_SECONDS, 0
        while len(chunk.lines) < CHUNK_LINES and size < CHUNK_BYTES and time.monotonic() < ends:
            raw = self._read_line(chunk)
            if not raw:
                break
            line = (raw.removeprefix(_BOM) if self._offset == 0 else raw).strip()
            self._take(raw)
            self._line += 1
            if len(line) > self._max_line or (len(raw) == self._max_line + 2 and not raw.endswith(b"\n")):
                chunk.too_long[len(chunk.lines)] = line[:EXAMPLE_BYTES]
                line = b""
                self._drop_rest_of_line(raw)
            chunk.lines.append(line)
            size += len(line)
        if self._offset == began:
            return None
        chunk.end, chunk.end_line, chunk.digest = self._offset, self._line, self._digest.hexdigest()
        return chunk

    def _read_line(self, chunk: Chunk) -> bytes:
        """The next line; empty at the end. What cannot be read is raised after the lines before it were returned."""
        if self._fault is None:
            try:
                return self._stream.readline(self._max_line + 2)  # with CR and LF
            except FAULTS_OF_INPUT as fault:
                self._fault = fault
        if chunk.lines:
            return b""
        raise self._fault

    def _drop_rest_of_line(self, raw: bytes) -> None:
        while raw and not raw.endswith(b"\n"):
            raw = self._stream.readline(SKIP_BYTES)
            self._take(raw)
