"""The log of a run, and its view."""

from pathlib import Path

import pytest

from relay.loadtest.histogram import Histogram
from relay.loadtest.journal import End, Head, Journal, Line
from relay.loadtest.tally import Part
from relay.loadtest.view import as_line, follow
from tests.unit.loadtest.plans import plan


class Worker:
    def __init__(self) -> None:
        self.parts: dict[int, Part] = {}
        self.settled = False

    def hand_over(self, number: int, accepted: int, ok_seconds: float = 0.01) -> None:
        ok = Histogram()
        ok.add(ok_seconds)
        self.parts[number] = Part(accepted, accepted, 10, 20, 1, 2, 3, ok, Histogram(), Histogram())


def never(_seconds: float) -> None:
    raise AssertionError("it waits for more")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


@pytest.fixture
def journal(file: Path) -> Journal:
    return Journal(file, plan(interval=5.0))


def lines(file: Path) -> list[Line]:
    return [entry for entry in follow(file, never) if isinstance(entry, Line)]


def test_a_line_is_written_when_every_worker_has_handed_over_its_part(file: Path, journal: Journal) -> None:
    one, two = Worker(), Worker()
    one.hand_over(1, 100)
    journal.collect([one, two])
    two.hand_over(1, 50, 0.5)
    one.hand_over(2, 110)
    journal.collect([one, two])
    two.settled = True  # it has ended: the others go on
    journal.collect([one, two])
    journal.end(12.0, passed=True, interrupted=False)

    first, second = lines(file)
    assert (first.second, first.accepted, first.events_per_second) == (5.0, 150, 30.0)
    assert first.ok_p95_ms == pytest.approx(500, rel=0.02)
    assert (first.eose_p95_ms, first.lost, first.closed, first.open) == (None, 2, 4, 6)
    assert (second.second, second.accepted) == (10.0, 110)
    assert one.parts == two.parts == {}


def test_a_view_shows_the_newest_run_of_a_file_and_leaves_out_what_is_cut(file: Path, journal: Journal) -> None:
    journal.end(3.0, passed=False, interrupted=True)
    with file.open("ab") as more:
        more.write(b'{"type":"interval","at"\n')
    Journal(file, plan(interval=1.0)).end(8.0, passed=True, interrupted=False)
    entries = list(follow(file, never))
    assert [type(entry) for entry in entries] == [Head, End]
    assert isinstance(entries[0], Head)
    assert (entries[0].interval, entries[0].urls) == (1.0, ["ws://127.0.0.1:7777"])


def test_a_view_follows_a_run_until_it_ends(file: Path, journal: Journal) -> None:
    worker = Worker()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            worker.hand_over(1, 100)
            journal.collect([worker])
        else:
            journal.end(5.0, passed=True, interrupted=False)

    shown = [as_line(entry) for entry in follow(file, wait)]
    assert len(waits) == 2
    assert "mixed on ws://127.0.0.1:7777: 100 connections, 10 following, 30 s" in shown[0]
    assert shown[0].splitlines()[1].split()[:2] == ["time", "second"]
    assert shown[1].split()[1:5] == ["5", "20", "2", "4"]
    assert shown[2].endswith("ended after 5 s: all thresholds met")
