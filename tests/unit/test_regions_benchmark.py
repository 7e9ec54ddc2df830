"""The benchmark of regions: its packets are late and lost as told, and its tables and plots come into documents."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks.regions import plots, report
from tests.benchmarks.regions.faults import cases
from tests.benchmarks.regions.forwarder import Forwarder
from tests.benchmarks.regions.measured import Fault, Latency, Split, Way

DELAY = 0.05
Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[tuple[Ends, Ends]]:
    """Two pairs of ours and the forwarder's, in place of devices."""
    pairs = tuple(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    for pair in pairs:
        for end in pair:
            end.setblocking(False)
    yield pairs[0], pairs[1]
    for pair in pairs:
        for end in pair:
            end.close()


def carrying(ends: tuple[Ends, Ends], delay: float, loss: float) -> Forwarder:
    forwarder = Forwarder([(ends[0][1].fileno(), ends[1][1].fileno())])
    forwarder.set(0, delay, loss)
    return forwarder


def test_packets_come_out_at_the_other_end_in_order_and_not_before_their_time(ends: tuple[Ends, Ends]) -> None:
    forwarder = carrying(ends, DELAY, 0.0)
    began = time.monotonic()
    for number in range(3):
        os.write(ends[0][0].fileno(), bytes([number]))
    forwarder.take(ends[0][1].fileno())
    while (wait := forwarder.deliver()) >= 0:
        time.sleep(wait)
    assert [ends[1][0].recv(10) for _ in range(3)] == [b"\0", b"\1", b"\2"]
    assert time.monotonic() - began >= DELAY


def test_a_cut_wire_carries_nothing(ends: tuple[Ends, Ends]) -> None:
    forwarder = carrying(ends, 0.0, 1.0)
    os.write(ends[0][0].fileno(), b"packet")
    forwarder.take(ends[0][1].fileno())
    assert forwarder.deliver() == -1.0
    with pytest.raises(BlockingIOError):
        ends[1][0].recv(10)


def test_a_lossy_wire_loses_its_share(ends: tuple[Ends, Ends]) -> None:
    forwarder, arrived, number = carrying(ends, 0.0, 0.2), 0, 500
    for _ in range(number):
        os.write(ends[0][0].fileno(), b"packet")
        forwarder.take(ends[0][1].fileno())
        forwarder.deliver()
        with contextlib.suppress(BlockingIOError):
            arrived += bool(ends[1][0].recv(10))
    assert 0.7 * number < arrived < 0.9 * number


def test_a_table_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    document = tmp_path / "regions.md"
    document.write_text(report.DOCUMENT.read_text())
    for text in ("the table before", "the table after"):
        report.write("split", text, document)
    found = document.read_text()
    assert "the table before" not in found
    assert found.count("the table after") == 1
    places = [found.index(f"<!-- {part}:") for part in ("latency", "throughput", "split", "priority", "join", "faults")]
    assert all(before < after for before, after in pairwise(places))


def test_a_quantile_is_one_of_the_measured_values() -> None:
    found = Latency(Way(0, 1), "normal", 3, (0.1, 0.2, 0.9))
    assert [found.quantile(share) for share in (0.0, 0.5, 0.99, 1.0)] == [0.1, 0.2, 0.9, 0.9]


def test_ephemeral_events_alone_may_be_missing() -> None:
    assert [Latency(Way(0, 1), lane, 3, (0.1,)).missing for lane in ("low", "ephemeral")] == [2, 0]


def test_faults_have_a_row_for_each_part_and_side() -> None:
    trials = [Fault("broker", side, 10, 0, True, 1.0) for side in ("this", "that", "this")]
    assert [len(case) for case in cases(trials)] == [2, 1]
    assert report.faults(trials).count("| broker |") == 2


@pytest.mark.parametrize("part", ["latency", "split"])
def test_plots_are_drawings_that_stand_alone(part: str) -> None:
    measured = {
        "latency": [Latency(Way(0, 1), "normal", 3, (0.1, 0.2, 0.9)), Latency(Way(1, 2), "normal", 0, ())],
        "split": [Split(Way(0, 1), 5.0, 10, 4, 1.0, 0, 0, ((0.0, 0.0), (1.0, 4.0), (6.0, 0.0)))],
    }
    drawing = ElementTree.fromstring(plots.PLOTS[part](measured[part]))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawing.find("{http://www.w3.org/2000/svg}style") is not None
