"""zstd with a bound of what comes out: a small body may decompress to gigabytes."""

import io

import zstandard

from replication.wire import MAX_CONTENT_BYTES

ENCODING = "zstd"
LEVEL = 3
MAX_WINDOW_BYTES = 8_388_608
"""A frame may ask for more memory than it has content."""


class TooLarge(ValueError):
    """the content is larger than allowed"""


class Damaged(ValueError):
    """the body is no zstd frame"""


def compressed(content: bytes) -> bytes:
    """The content as a zstd frame."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(content)


def content_size(body: bytes, limit: int = MAX_CONTENT_BYTES) -> int:
    """How large the content is, as the frame says. Raises TooLarge above `limit` bytes, Damaged if it does not say."""
    try:
        size = zstandard.frame_content_size(body)
    except zstandard.ZstdError as error:
        raise Damaged(str(error)) from None
    if size < 0:
        raise Damaged("the frame does not say how large its content is")
    if size > limit:
        raise TooLarge
    return int(size)


def decompressed(body: bytes, limit: int = MAX_CONTENT_BYTES) -> bytes:
    """The content of a zstd frame. Raises TooLarge before more than `limit` bytes are made of it, Damaged."""
    reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(io.BytesIO(body))
    try:
        content = reader.read(limit + 1)
    except (zstandard.ZstdError, MemoryError) as error:
        raise Damaged(str(error)) from None
    if len(content) > limit:
        raise TooLarge
    return content
