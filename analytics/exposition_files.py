"""The files of prometheus_client's multiprocess mode, into which a worker writes its figures once a second.

They are named by the worker's place: a process that takes a dead one's place goes on from its counts, so that no
counter falls back. A value is 16 bytes of mapped memory, written at once: a worker that is killed at any moment leaves
whole numbers.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from analytics.exposition import METRICS
from analytics.exposition_kinds import Labels, Shown
from relay.services import status
from relay.services.figures import LIFE_SECONDS
from relay.services.worker_figures import WorkerFigures

FILE_BYTES = 1 << 20
"""Metrics take 10 KB of a file, and 600 KB if clients choose every close code there is."""
LIVE = "gauge_live*"


class Files:
    """The files of one worker. `write` costs 0.2 ms."""

    def __init__(self, folder: Path, place: str) -> None:
        self._folder = folder
        self._place = f"figures_{place}.db"  # what the process counts with prometheus_client stands in its own
        self._files: dict[str, MmapedDict] = {}
        self._values: dict[tuple[str, Labels], tuple[MmapedDict, str, float]] = {}
        for path in folder.glob(f"{LIVE}_{self._place}"):  # the dead one's
            path.unlink()

    def write(self, figures: WorkerFigures) -> None:
        """Leave the figures, with the counts of those whose place this worker took. Raises OSError."""
        for metric in METRICS:
            for name, labels, number in metric.samples(figures):
                file, key, before = self._values.get((name, labels)) or self._value(metric, name, labels)
                file.write_value(key, before + number, 0.0)  # type: ignore[no-untyped-call]
        for path in self._folder.glob(f"{LIVE}_{self._place}"):
            os.utime(path)

    def _value(self, metric: Shown, name: str, labels: Labels) -> tuple[MmapedDict, str, float]:
        if metric.kind not in self._files:
            path = self._folder / f"{metric.kind}_{self._place}"
            with path.open("ab") as file:  # a mapped page that the disk has no room for would kill the process
                os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
            self._files[metric.kind] = MmapedDict(str(path))  # type: ignore[no-untyped-call]
        opened = self._files[metric.kind]
        key = mmap_key(metric.name.removesuffix("_total"), name, [*metric.labels, "le"], list(labels), metric.meaning)
        self._values[name, labels] = found = (opened, key, opened.read_value(key)[0])  # type: ignore[no-untyped-call]
        return found


def merged(folder: Path) -> Iterator[Metric]:
    """What the processes of this folder say together: counts of all that were, levels of those that live."""
    late = time.time() - LIFE_SECONDS
    files = []
    for path in sorted(folder.glob("*.db")):
        with suppress(
            FileNotFoundError
        ):  # levels of a dead worker, which the one that takes its place has just removed
            found = path.stat()
            if found.st_size and not (path.match(f"{LIVE}.db") and found.st_mtime < late):
                files.append(str(path))
    return iter(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]


def leave_figures(folder: str, worker: str) -> None:
    """Have this worker leave its figures in the folder once a second; nothing is done without a folder."""
    if folder:
        status.listeners.append(Files(Path(folder), f"worker-{worker}").write)
