"""The benchmark of stored events: what is written and asked, which stores stand beside each other, and the tables."""

import random
import statistics
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.benchmarks import bulk
from tests.benchmarks.crowd import Crowd
from tests.benchmarks.scale import report
from tests.benchmarks.scale.__main__ import QUESTIONS, runs
from tests.benchmarks.scale.questions import makers
from tests.benchmarks.scale.stores import Size, folder_of
from tests.benchmarks.written import Commonest

Json = dict[str, Any]
COUNT = 3_000


@pytest.fixture(scope="module")
def rows() -> list[list[bytes]]:
    """The rows of each table."""
    batches = list(bulk.Writer(COUNT).batches())
    return [b"".join(part).splitlines() for part in list(zip(*batches, strict=True))[:4]]


def texts(rows: list[list[bytes]]) -> list[Json]:
    return [orjson.loads(row.split(b"\t")[-1].replace(b"\\\\", b"\\")) for row in rows[0]]


def test_stored_events_have_three_tags_and_600_to_1000_bytes_in_the_mean(rows: list[list[bytes]]) -> None:
    events = [event for event in texts(rows) if event["kind"] != 0]
    assert 600 < statistics.mean(len(orjson.dumps(event)) for event in events) < 1_000
    assert 2.8 < statistics.mean(len(event["tags"]) for event in events) < 3.2


def test_each_tag_of_an_event_has_one_row(rows: list[list[bytes]]) -> None:
    listed = sum(len({tuple(tag) for tag in event["tags"]}) for event in texts(rows))
    assert len(rows[1]) == len(set(rows[1])) == listed


def test_the_commonest_values_are_found_and_few_are_held() -> None:
    rng, counted = random.Random(1), Commonest(10)
    for number in range(300):
        counted.add([f"{value}" for value in range(10) for _ in range(20 - value)])
        counted.add([f"rare {number} {rng.random()}" for _ in range(20)])
    assert counted.found() == [f"{value}" for value in range(10)]
    assert len(counted._counts) <= 120


def test_all_questions_can_be_asked_of_a_small_store() -> None:
    crowd = Crowd([(f"{n:064x}", "a" * 64, n) for n in range(100)], ["a" * 64] * 3, ["b"], ["c"], ["d"])
    asked = {name: make() for name, make in makers(crowd, 1).items()}
    assert len(asked) == QUESTIONS
    assert all(name == shape and len(filters) == 1 for name, (shape, filters) in asked.items())


def test_a_store_is_named_by_its_size_and_found_in_the_folder_or_as_the_folder() -> None:
    names = [Size(*each).name for each in ((20_000, 1), (2_000_000, 12), (1_500, 1), (10_000_000, 1))]
    assert names == ["20k", "2m-12", "1500", "10m"]
    assert folder_of(Path("/a"), Size(2_000_000)) == folder_of(Path("/a/2m"), Size(2_000_000)) == Path("/a/2m")


def test_each_partitioned_store_runs_beside_one_table() -> None:
    one, four, twelve = (Size(9, parts) for parts in (1, 4, 12))
    assert runs([9], [12, 1, 4]) == [[one, four], [one, twelve]]
    assert runs([9, 5], [1]) == [[Size(5)], [one]]
    assert runs([9], [4]) == [[four]]


def measured(events: int, parts: int = 1, rate: float = 100.0) -> Json:
    question = {"per_second": rate, "p50_ms": 1.25, "p95_ms": 12.5, "postgres_ms": 0.5}
    found = {
        "events": events, "parts": parts, "variant": "with caches", "at": "2026-11-26", "mean": rate, "echo": 1e5,
        "questions": {"one id": question}, "publishing": 9e3, "memory": {"postgres": 2**30, "worker": 2**28},
    }  # fmt: skip
    ratios = {"one id": {"rate": 0.8, "postgres": 1.5}, "publishing": {"rate": 0.97}}
    return found | ({"ratios": ratios} if parts > 1 else {})


SIZES = {"tables": {"relay_event": 900.0}, "indexes": {"relay_event_kind": 70.0}}


def test_a_later_run_replaces_its_own_figures_and_leaves_the_others(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    report.keep([measured(20_000), measured(200_000)], {"20k": SIZES}, file)
    found = report.keep([measured(20_000, rate=50.0)], {"200k": SIZES}, file)
    assert [(each["events"], each["mean"]) for each in found["measured"]] == [(20_000, 50.0), (200_000, 100.0)]
    assert set(found["bytes"]) == {"20k", "200k"}


def test_the_tables_say_rates_ratios_and_bytes() -> None:
    tables = report.tables(
        {"measured": [measured(20_000), measured(20_000, 4)], "bytes": {"20k-4": SIZES, "20k": SIZES}}
    )
    assert set(tables) == set(report.SECTIONS)
    assert "| one id | 100 (1.2, 12) |" in tables["questions"]
    assert "| one id | 1.25 (1.50) |" in tables["partitions"]
    assert "| publishing, events a second | 0.97 |" in tables["partitions"]
    assert "| bytes an event | 20k | 20k-4 |" in tables["bytes"]
    assert "| all | 970 | 970 |" in tables["bytes"]


def test_every_table_has_its_place_in_the_document_and_nothing_else_changes(tmp_path: Path) -> None:
    document = tmp_path / "scale.md"
    document.write_text(report.DOCUMENT.read_text())
    report.write({name: f"| {name} |\n" for name in report.SECTIONS}, document)
    once = document.read_text()
    report.write({name: f"| {name} |\n" for name in report.SECTIONS}, document)
    assert document.read_text() == once
    assert all(once.count(f"| {name} |") == 1 for name in report.SECTIONS)
    assert once.count("\n## ") == report.DOCUMENT.read_text().count("\n## ")
