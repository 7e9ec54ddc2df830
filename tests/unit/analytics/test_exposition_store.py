"""The files of workers: what one leaves, another reads; a death takes nothing of the counts away."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from analytics.exposition_store import SLOT_BYTES, SUFFIX, FiguresFile, seen
from relay.services.worker_figures import NOTHING, WorkerFigures

NOW = 1_000.0


def figures(queries: int, *, at: float = NOW, **changed: object) -> WorkerFigures:
    return replace(NOTHING, connections=1, at=at, counts={"queries": queries}, **changed)


def test_what_workers_leave_is_summed(tmp_path: Path) -> None:
    FiguresFile(tmp_path, "worker-1").write(figures(3))
    FiguresFile(tmp_path, "worker-2").write(figures(4))
    found = seen(tmp_path, NOW)

    assert (len(found.workers), found.total.connections, found.total.counts) == (2, 2, {"queries": 7})


def test_a_worker_that_is_silent_keeps_its_counts_and_nothing_else(tmp_path: Path) -> None:
    FiguresFile(tmp_path, "worker-1").write(figures(3, at=NOW - 6, bus_up=False))
    FiguresFile(tmp_path, "worker-2").write(figures(4))
    found = seen(tmp_path, NOW)

    assert (len(found.workers), found.total.connections, found.total.bus_up) == (1, 1, True)
    assert found.total.counts == {"queries": 7}


def test_whoever_takes_a_place_goes_on_from_the_counts_of_those_before(tmp_path: Path) -> None:
    for queries in (5, 2, 1):
        life = FiguresFile(tmp_path, "worker-1")
        life.write(figures(queries - 1))
        life.write(figures(queries, pid=queries))
    found = seen(tmp_path, NOW)

    assert (found.total.counts, found.workers[0].pid) == ({"queries": 8}, 1)


def test_an_empty_folder_has_seen_nobody(tmp_path: Path) -> None:
    assert seen(tmp_path, NOW).workers == ()


def test_figures_that_are_too_long_are_refused_and_the_last_ones_stay(tmp_path: Path) -> None:
    file = FiguresFile(tmp_path, "worker-1")
    file.write(figures(3))

    with pytest.raises(OSError, match="do not fit"):
        file.write(figures(4, instance="x" * SLOT_BYTES))
    assert seen(tmp_path, NOW).total.counts == {"queries": 3}


@given(st.integers(0, 400), st.binary(min_size=1, max_size=40))
def test_a_write_that_was_cut_off_anywhere_leaves_the_figures_of_a_second_before(
    tmp_path_factory: pytest.TempPathFactory, place: int, garbage: bytes
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    file = FiguresFile(folder, "worker-1")
    file.write(figures(3))
    file.write(figures(4))
    with os.fdopen(os.open(folder / f"worker-1{SUFFIX}", os.O_WRONLY), "wb") as raw:
        raw.seek(place)  # the second write went into the first slot
        raw.write(garbage)

    assert seen(folder, NOW).total.counts in ({"queries": 3}, {"queries": 4})
