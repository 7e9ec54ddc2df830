"""The files of workers: what several leave is one; a death takes nothing of the counts away."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from analytics.exposition_files import FILE_BYTES, Files, merged
from relay.services.worker_figures import NOTHING, HistogramFigures, WorkerFigures

KILLS = 25


def figures(queries: int, **changed: object) -> WorkerFigures:
    spread = HistogramFigures([0.5], [queries, 0], queries / 2)
    return replace(NOTHING, connections=1, counts={"queries": queries}, histograms={"ok": spread}, **changed)


def shown(folder: Path) -> dict[str, float]:
    """The value of each sample by its name; the last one of those with several labels."""
    return {sample.name: sample.value for family in merged(folder) for sample in family.samples}


def test_what_workers_leave_is_summed(tmp_path: Path) -> None:
    Files(tmp_path, "worker-1").write(figures(3))
    Files(tmp_path, "worker-2").write(figures(4))
    found = shown(tmp_path)

    assert (found["nostr_workers"], found["nostr_active_websockets"], found["nostr_queries_total"]) == (2, 2, 7)
    assert (found["nostr_ok_latency_seconds_count"], found["nostr_ok_latency_seconds_sum"]) == (7, 3.5)


def test_a_worker_that_is_silent_keeps_its_counts_and_nothing_else(tmp_path: Path) -> None:
    Files(tmp_path, "worker-1").write(figures(3, bus_up=False))
    Files(tmp_path, "worker-2").write(figures(4))
    for path in tmp_path.glob("*worker-1.db"):
        os.utime(path, times=(time.time() - 6, time.time() - 6))
    found = shown(tmp_path)

    assert (found["nostr_workers"], found["nostr_active_websockets"], found["relay_bus_up"]) == (1, 1, 1)
    assert found["nostr_queries_total"] == 7


def test_a_worker_that_goes_on_writing_is_not_silent(tmp_path: Path) -> None:
    life = Files(tmp_path, "worker-1")
    life.write(figures(3))
    for path in tmp_path.iterdir():
        os.utime(path, times=(time.time() - 6, time.time() - 6))
    life.write(figures(4))

    assert shown(tmp_path)["nostr_workers"] == 1


def test_a_process_that_takes_a_place_goes_on_from_the_counts_of_those_before(tmp_path: Path) -> None:
    for queries in (5, 2, 1):
        life = Files(tmp_path, "worker-1")
        life.write(figures(queries - 1))
        life.write(figures(queries))
    found = shown(tmp_path)

    assert (found["nostr_queries_total"], found["nostr_ok_latency_seconds_count"]) == (8, 8)
    assert found["nostr_active_websockets"] == 1


def test_a_dead_workers_version_is_not_shown_beside_its_successors(tmp_path: Path) -> None:
    for version in ("1", "2"):
        Files(tmp_path, "worker-1").write(figures(0, version=version))
    (workers,) = [family for family in merged(tmp_path) if family.name == "nostr_workers"]

    assert [(sample.labels["version"], sample.value) for sample in workers.samples] == [("2", 1)]


def test_levels_that_are_removed_while_they_are_listed_are_left_out(tmp_path: Path) -> None:
    Files(tmp_path, "worker-1").write(figures(3))
    (tmp_path / "gauge_livesum_figures_worker-2.db").symlink_to(tmp_path / "removed")

    assert shown(tmp_path)["nostr_queries_total"] == 3


def test_an_empty_folder_and_an_empty_file_say_nothing(tmp_path: Path) -> None:
    assert shown(tmp_path) == {}

    (tmp_path / "counter_worker-1.db").touch()  # as it is for a moment when a process begins to count

    assert shown(tmp_path) == {}


def test_the_disk_has_room_for_what_is_mapped_before_it_is_written(tmp_path: Path) -> None:
    Files(tmp_path, "worker-1").write(figures(3))

    assert {path.stat().st_blocks * 512 >= FILE_BYTES for path in tmp_path.iterdir()} == {True}


@contextmanager
def counting(folder: Path) -> Iterator[None]:
    """A worker of its own process that has begun to count; killed at the end, whatever it is doing."""
    reader, writer = os.pipe()
    worker = os.fork()
    if not worker:
        try:
            life = Files(folder, "worker-1")
            for queries in range(1, 1_000_000):
                life.write(figures(queries))
                os.write(writer, b"." if queries == 1 else b"")
        finally:
            os._exit(1)
    os.close(writer)
    try:
        assert os.read(reader, 1)
        yield
    finally:
        os.close(reader)
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


def test_no_count_falls_back_when_a_worker_is_killed_at_any_moment(tmp_path: Path) -> None:
    names = ("nostr_queries_total", "nostr_ok_latency_seconds_count", "nostr_ok_latency_seconds_sum")
    rng = random.Random(1)
    seen = [dict.fromkeys(names, 0.0)]
    for _ in range(KILLS):
        with counting(tmp_path):
            deadline = time.monotonic() + rng.uniform(0, 0.02)
            while time.monotonic() < deadline:
                seen.append(shown(tmp_path))
        seen.append(shown(tmp_path))

    for name in names:
        values = [each[name] for each in seen]
        assert values == sorted(values)
    assert seen[-1]["nostr_queries_total"] > KILLS  # each life has counted
