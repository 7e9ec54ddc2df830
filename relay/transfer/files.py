"""Files of JSON Lines, plain or compressed (gzip, zstd), and standard input and output under the name `-`.

Input is recognised by its first bytes, whatever its name is; output is compressed by its suffix or as told.
"""

import gzip
import io
import os
import select
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final, Protocol

import zstandard

STANDARD: Final = "-"
"""The name of standard input and output."""

BUFFER_BYTES = 1_048_576
POLL_MS = 200
"""How long an import that was stopped may go on waiting for standard input."""

COMPRESSIONS: Final = ("none", "gzip", "zstd")
_OF_SUFFIX = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

FAULTS_OF_INPUT: Final = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""What reading raises for input that cannot be read, is damaged or ends too early."""

STEP_BYTES = 1_024
"""Compressed bytes taken at a time: they grow to 32 MiB at most, whatever is in them."""


class _Waited(io.RawIOBase):
    """A descriptor whose end comes early once `is_stopped()`, also while it has no data."""

    def __init__(self, descriptor: int, is_stopped: Callable[[], bool]) -> None:
        self._descriptor = descriptor
        self._is_stopped = is_stopped
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._poll.poll(POLL_MS):
            if self._is_stopped():
                return 0
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        self.bytes_read += len(data)
        return len(data)


class Input:
    """An opened input. `lines` gives decompressed bytes; `size`: bytes of the file, None if it is not known."""

    def __init__(self, name: str, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Raises OSError if the file cannot be opened."""
        self._file = open(0 if name == STANDARD else name, "rb", buffering=0, closefd=name != STANDARD)  # noqa: SIM115
        status = os.fstat(self._file.fileno())
        self.size = status.st_size if Path(name).is_file() else None
        self._raw = _Waited(self._file.fileno(), is_stopped)
        self.lines = _decompressed(io.BufferedReader(self._raw, BUFFER_BYTES))

    @property
    def bytes_read(self) -> int:
        """Bytes of the file, still compressed, that were read."""
        return self._raw.bytes_read

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._file.close()


def _decompressed(raw: io.BufferedReader) -> io.BufferedReader:
    first = raw.peek(4)
    if first.startswith(_GZIP):
        return io.BufferedReader(_Unpacked(raw, partial(zlib.decompressobj, wbits=31)), BUFFER_BYTES)
    if first.startswith(_ZSTD):
        return io.BufferedReader(_Unpacked(raw, zstandard.ZstdDecompressor().decompressobj), BUFFER_BYTES)
    return raw


class _Decompressor(Protocol):
    """What zlib and zstandard have in common: one member or frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _Unpacked(io.RawIOBase):
    """The content of compressed frames, one after the other; zeros may follow the last one.

    The readers of both libraries would not do: one takes a file that is cut off for a whole one, the other does not
    give what comes before a fault.
    """

    def __init__(self, raw: io.BufferedReader, new_frame: Callable[[], _Decompressor]) -> None:
        self._raw = raw
        self._new_frame = new_frame
        self._frame: _Decompressor | None = None
        self._packed = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._ready:
            self._packed = self._packed or self._raw.read1(STEP_BYTES)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("the compressed file ends before its end was marked")
                return 0
            if self._frame is None:
                self._packed = self._packed.lstrip(b"\0")
                if not self._packed:
                    continue
                self._frame = self._new_frame()
            frame, packed, self._packed = self._frame, self._packed, b""
            self._ready = memoryview(frame.decompress(packed))
            if frame.eof:
                self._frame, self._packed = None, frame.unused_data
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size


def compression_of(name: str) -> str:
    """The compression that the suffix of a file name says, `none` without one."""
    return _OF_SUFFIX.get(Path(name).suffix.lower(), "none")


@contextmanager
def output(name: str, compression: str) -> Iterator[IO[bytes]]:
    """A stream to write to. A file appears under its name only when it is whole; on an exception nothing is left of it.
    A pipe or a device is written to, and stays what it is.

    Raises OSError, BrokenPipeError among them.
    """
    is_standard = name == STANDARD
    if is_standard or (os.path.exists(name) and not os.path.isfile(name)):
        place = 1 if is_standard else name
        with (
            open(place, "wb", buffering=BUFFER_BYTES, closefd=not is_standard) as raw,
            _compressed(raw, compression) as stream,
        ):
            yield stream
        return
    part = Path(f"{name}.part")
    try:
        with part.open("wb", buffering=BUFFER_BYTES) as raw:
            with _compressed(raw, compression) as stream:
                yield stream
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(name)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _compressed(raw: IO[bytes], compression: str) -> Iterator[IO[bytes]]:
    if compression == "gzip":
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as zipped:
            yield zipped  # type: ignore[misc]
    elif compression == "zstd":
        with zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as packed:
            yield packed
    else:
        yield raw
