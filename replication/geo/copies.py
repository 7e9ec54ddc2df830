"""Copies of the operator's databases of addresses, shared by the workers of an instance.

Rule: a file is never read where the operator writes it. Its pages are mapped into memory: if another program
shortened the file, SIGBUS would end every worker. A copy gets its name when it is complete, and is never changed.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile

UNFINISHED = ".new"
COPY_SECONDS = 600.0
"""A copy that was not written to for this time belongs to a process that died."""

Version = tuple[int, int, int]
"""Of a file: inode, time of change in ns, size in bytes."""


def version_of(path: Path) -> Version:
    """What another content of the file changes. Raises OSError."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def copied(path: Path, folder: Path, version: Version) -> Path:
    """The copy of a file, made if no other worker has done so. Raises OSError, also if the file is not `version`."""
    copy = folder / f"{_prefix(path)}{'-'.join(map(str, version))}.mmdb"
    if not copy.exists():
        with NamedTemporaryFile(dir=folder, prefix=copy.stem, suffix=UNFINISHED, delete=False) as new:
            try:
                with path.open("rb") as source:
                    shutil.copyfileobj(source, new, 1 << 20)
                new.flush()
                if version_of(path) != version:
                    raise OSError(f"{path} changed while it was read")
                Path(new.name).replace(copy)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise
    return copy


def remove_others(copy: Path, path: Path) -> None:
    """Remove the older copies of a file; a process that has mapped one keeps it."""
    for older in set(copy.parent.glob(f"{_prefix(path)}*.mmdb")) - {copy}:
        older.unlink(missing_ok=True)


def tidy(folder: Path, paths: Iterable[Path]) -> None:
    """Remove copies of other files than `paths`, and what processes left that died while copying. Raises OSError."""
    prefixes = tuple([_prefix(path) for path in paths])
    for file in folder.iterdir():
        is_left = file.suffix == UNFINISHED and time.time() - file.stat().st_mtime > COPY_SECONDS
        if is_left or not file.name.startswith(prefixes):
            file.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}-"
