"""Bounds the log files of the embedded servers: `NAME.log`, and `NAME.log.1` with what came before.

The servers write to an inherited descriptor in append mode, so a file can be copied and emptied under them. A few lines
that are written between the two steps are lost.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO

MOST_BYTES = 10 * 2**20
LOOK_SECONDS = 5.0


def previous(log: Path) -> Path:
    """Where the lines before the last rotation are."""
    return log.with_name(log.name + ".1")


def fresh(log: Path) -> IO[bytes]:
    """The log file of a new start, empty; what the last one wrote is kept in `previous`."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size:
            log.replace(previous(log))
    return log.open("ab")


def rotate(log: Path, most_bytes: int = MOST_BYTES) -> bool:
    """Copy the log to `previous` and empty it if it is larger than `most_bytes`; True if it was. Raises OSError.

    Only its last `most_bytes` are copied. If the disk is too full for a copy the log is emptied all the same.
    """
    with contextlib.suppress(FileNotFoundError), log.open("r+b") as file:
        size = file.seek(0, 2)
        if size <= most_bytes:
            return False
        file.seek(size - most_bytes)
        try:
            with previous(log).open("wb") as copy:
                shutil.copyfileobj(file, copy)
        finally:
            file.truncate(0)
        return True
    return False


async def keep_bounded(logs: Sequence[Path]) -> None:
    """Rotate the logs that have grown too large, until cancelled."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        for log in logs:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(rotate, log)
