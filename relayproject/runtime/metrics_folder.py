"""The folder in which the processes of one start leave their counts, so that any of them can answer for all.

Rule: a process counts under the name of its place ("worker-1", "jobs"), not under its id: whoever takes the place of a
dead one goes on from its counts, so no counter falls back and no files heap up, however often a process dies.
"""

import os
import shutil
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def make(data_folder: Path) -> Path:
    """The folder, empty: counts begin with a start of `serve`."""
    folder = data_folder / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def count_as(place: str) -> None:
    """Have this process count under the name of its place; before the first metric is made. Needs no folder."""
    if not os.environ.get(VARIABLE):
        return
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]


def forget(folder: Path, place: str) -> None:
    """The process in that place has ended: what it said of the moment is true no more. Its counts stay."""
    for path in folder.glob(f"gauge_live*_{place}.db"):
        path.unlink(missing_ok=True)
