"""Files of JSON Lines: how they are recognised, and what is left of an output that fails."""

import gzip
import io
import os
from pathlib import Path
from typing import IO

import pytest
import zstandard

from relay.transfer.files import FAULTS_OF_INPUT, Input, _Waited, compression_of, output

TEXT = b"".join(b'{"n":%d}\n' % number for number in range(50_000))


def packed(text: bytes, how: str) -> bytes:
    if how == "gzip":
        return gzip.compress(text)
    return zstandard.compress(text) if how == "zstd" else text


def content(path: Path) -> bytes:
    opened = Input(str(path))
    try:
        return opened.lines.read()
    finally:
        opened.close()


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_input_is_recognised_by_its_first_bytes(tmp_path: Path, how: str) -> None:
    (path := tmp_path / "events.txt").write_bytes(packed(TEXT, how))

    assert content(path) == TEXT


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_several_compressed_parts_are_one_input(tmp_path: Path, how: str) -> None:
    (path := tmp_path / "events").write_bytes(packed(TEXT, how) + packed(b"more\n", how))

    assert content(path) == TEXT + b"more\n"


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_a_compressed_file_that_was_cut_off_is_not_taken_for_a_whole_one(tmp_path: Path, how: str) -> None:
    (path := tmp_path / "events").write_bytes(packed(TEXT, how)[:-20])

    with pytest.raises(FAULTS_OF_INPUT):
        content(path)


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_damaged_compression_is_a_fault_of_the_input(tmp_path: Path, how: str) -> None:
    data = bytearray(packed(TEXT, how))
    data[len(data) // 2 : len(data) // 2 + 50] = b"\xff" * 50
    (path := tmp_path / "events").write_bytes(data)

    with pytest.raises(FAULTS_OF_INPUT):
        content(path)


def test_a_few_bytes_that_grow_to_gigabytes_are_read_in_bounded_memory(tmp_path: Path) -> None:
    with (path := tmp_path / "bomb").open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as stream:
        for _ in range(256):
            stream.write(bytes(1_048_576))
    opened = Input(str(path))

    first = opened.lines.read(1)
    opened.close()

    assert first == b"\0"
    assert opened.bytes_read <= path.stat().st_size < 65_536


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (path := tmp_path / "events").touch()

    assert content(path) == b""


def test_input_without_data_ends_once_it_is_stopped(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "pipe")
    silent = os.open(path, os.O_RDWR)  # a writer that never writes
    try:
        assert io.BufferedReader(_Waited(silent, lambda: True)).read(1) == b""
    finally:
        os.close(silent)


@pytest.mark.parametrize(
    ("name", "compression"),
    [("a.jsonl", "none"), ("a.jsonl.gz", "gzip"), ("a.zst", "zstd"), ("a.ZST", "zstd"), ("-", "none"), ("gz", "none")],
)
def test_output_is_compressed_by_its_suffix(name: str, compression: str) -> None:
    assert compression_of(name) == compression


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_what_was_written_can_be_read(tmp_path: Path, how: str) -> None:
    path = tmp_path / "events"

    with output(str(path), how) as stream:
        stream.write(TEXT)

    assert content(path) == TEXT
    assert path.read_bytes()[:4] == packed(TEXT, how)[:4]


def _fail_after(stream: IO[bytes]) -> None:
    stream.write(TEXT)
    raise TypeError("half of it")


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_an_output_that_fails_leaves_the_file_of_before(tmp_path: Path, how: str) -> None:
    (path := tmp_path / "events").write_text("before")

    with pytest.raises(TypeError), output(str(path), how) as stream:
        _fail_after(stream)

    assert [one.name for one in tmp_path.iterdir()] == ["events"]
    assert path.read_text() == "before"


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path, how: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with output(str(pipe), how) as stream:
            stream.write(b"line\n")
        (tmp_path / "copy").write_bytes(os.read(reader, 4_096))
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert content(tmp_path / "copy") == b"line\n"
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "copy"}


def test_a_full_device_is_a_fault_and_stays_a_device(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")  # so that a fault replaces the link and not the device
    with pytest.raises(OSError, match="No space left"), output(str(full), "none") as stream:
        stream.write(b"line\n")
    assert full.is_symlink()
    assert list(tmp_path.iterdir()) == [full]
