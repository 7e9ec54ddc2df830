"""The folder in which the processes of one start leave their counts, so that any of them can answer for all.

Rule: a process counts under the name of its place ("worker-1", "jobs"), not under its id: one that takes the place of
a dead one goes on from its counts, so no counter falls back and no files heap up, however often a process dies.
"""

import os
import shutil
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
KINDS = ("counter", "histogram", "gauge_max")
FILE_BYTES = 1 << 20
"""Each view of Django takes 4 KB of histograms; beyond a megabyte a file grows, and nothing is reserved."""


def make(data_folder: Path, *, keep: bool = False) -> Path:
    """The folder, empty unless `keep`: counts begin with a start of `serve`."""
    folder = data_folder / "metrics"
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def count_as(place: str) -> None:
    """Have this process count under the name of its place; before the first metric is made. Needs no folder.

    On a full disk it counts for itself alone: a page of a mapped file that cannot be stored would end it with SIGBUS.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        return
    from prometheus_client import values

    try:
        for kind in KINDS:
            with Path(folder, f"{kind}_{place}.db").open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
        values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]
    except OSError:
        values.ValueClass = values.MutexValue
