"""Where the workers of one instance leave their figures for each other, so that any of them can answer for all.

One file for each worker in a folder that `serve` empties when it starts. A worker that takes a dead one's place goes on
from its counts, so that no counter falls back. Rule: a reader sees whole figures or those of a second before: two slots
are written in turn, each with its number and checksum, and a worker killed in the middle spoils one of them at most.
"""

import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from analytics.exposition_kinds import Seen
from relay.services import status
from relay.services.figures import LIFE_SECONDS, decoded
from relay.services.worker_figures import WorkerFigures, counted_only, total

SLOT_BYTES = 1 << 18
"""Far more than figures take; what is not written takes no room on the disk."""

SUFFIX = ".figures"
_HEAD = struct.Struct(">QII")  # number of the write, length, checksum


class FiguresFile:
    """The file of one worker. `write` costs 0.1 ms, of which the system call is a tenth."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}{SUFFIX}"
        self._past, self._number = _read(self._path)
        self._file: int | None = None

    def write(self, figures: WorkerFigures) -> None:
        """Leave the figures, with the counts of those whose place this worker took. Raises OSError."""
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._number += 1
        text = msgspec.json.encode(self._with_past(figures))
        if _HEAD.size + len(text) > SLOT_BYTES:
            raise OSError(f"figures of {len(text)} bytes do not fit in a slot")
        place = self._number % 2 * SLOT_BYTES
        os.pwrite(self._file, _HEAD.pack(self._number, len(text), zlib.crc32(text)) + text, place)

    def _with_past(self, figures: WorkerFigures) -> WorkerFigures:
        if self._past is None:
            return figures
        names = ("instance", "worker", "version", "pid", "started_at")
        both = total([figures, counted_only(self._past)])
        return replace(both, **{name: getattr(figures, name) for name in names})


def seen(folder: Path, now: float | None = None) -> Seen:
    """What the workers of this folder say at `now` (Unix seconds)."""
    moment = time.time() if now is None else now
    found = list(_all(folder))
    living = tuple(figures for figures in found if abs(moment - figures.at) <= LIFE_SECONDS)
    gone = [counted_only(figures) for figures in found if abs(moment - figures.at) > LIFE_SECONDS]
    return Seen(living, total([*living, *gone]))


def _all(folder: Path) -> Iterator[WorkerFigures]:
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        figures, _ = _read(path)
        if figures is not None:
            yield figures


def _read(path: Path) -> tuple[WorkerFigures | None, int]:
    """The newest figures in a file that are whole, with their number; None and 0 if there are none."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None, 0
    try:
        slots = [slot for place in (0, SLOT_BYTES) if (slot := _slot(file, place)) is not None]
    finally:
        os.close(file)
    number, text = max(slots, default=(0, b""))
    return (decoded(text) if text else None), number


def _slot(file: int, place: int) -> tuple[int, bytes] | None:
    head = os.pread(file, _HEAD.size, place)
    if len(head) < _HEAD.size:
        return None
    number, length, checksum = _HEAD.unpack(head)
    text = os.pread(file, length, place + _HEAD.size) if length <= SLOT_BYTES else b""
    return (number, text) if number and zlib.crc32(text) == checksum else None


def leave_figures(folder: str, worker: str) -> None:
    """Have this worker leave its figures in the folder once a second; nothing is done without a folder."""
    if folder:
        status.listeners.append(FiguresFile(Path(folder), f"worker-{worker}").write)
