"""The fault matrix: the order of its trials, the file that keeps them, and the tables in the document."""

from pathlib import Path

import pytest

from relayproject.runtime.cluster.members import shown
from relayproject.runtime.cluster.options import Failover, Options, Valkey
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.run_as import RunAs
from tests.benchmarks.faults import report, results
from tests.benchmarks.faults.cases import Way, cases
from tests.benchmarks.faults.network import ports_of
from tests.benchmarks.faults.results import Result, kind_of
from tests.benchmarks.faults.rounds import End, rounds

PLAIN = kind_of(Options())


def document(folder: Path) -> Path:
    """One with text before and after its tables, and none yet."""
    path = folder / "faults.md"
    path.write_text(f"before\n\n{report.BEGIN}\n\n{report.END}\nafter\n")
    return path


def test_each_fault_is_tried_once_before_any_is_tried_again() -> None:
    known = cases(Options())
    order = [(case.part, way) for _, case, way in rounds(known, [Way.KILL, Way.PAUSE], 2)]
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    assert (first, len(set(first))) == (second, len(first))


def test_parts_without_a_port_of_their_own_are_not_cut_off() -> None:
    known = cases(Options())
    tried = {way: {case.part for _, case, _ in rounds(known, [way], 1)} for way in Way}
    assert tried[Way.KILL] - tried[Way.CUT] == {"worker", "Celery worker", "beat"}


@pytest.mark.parametrize("failover", Failover)
@pytest.mark.parametrize("valkey", Valkey)
def test_the_ports_of_every_part_are_known_so_that_it_can_be_cut_off(failover: Failover, valkey: Valkey) -> None:
    options = Options(failover=failover, valkey=valkey)
    parts = shown(Site(Path("/none"), options, "", "", RunAs("self", 0)))
    assert [part.name for part in parts if part.port not in ports_of(part.name, options)] == []


def test_no_trial_begins_after_the_minutes_or_a_signal() -> None:
    said: list[str] = []
    late, signalled, early = (End(minutes, said.append) for minutes in (-1.0, None, 1.0))
    assert (late.has_come, signalled.has_come, early.has_come) == (True, False, False)


def test_trials_are_read_again_from_the_files_to_which_they_were_appended(tmp_path: Path) -> None:
    one, other = Result(PLAIN, "primary", "kill -9", acknowledged=7), Result(PLAIN, "HAProxy", "SIGSTOP", repaired=True)
    for result in (one, other):
        results.append(tmp_path / "a.json", result)
    results.append(tmp_path / "b.json", one)
    assert results.read([tmp_path / "a.json", tmp_path / "b.json"]) == [one, other, one]


def test_trials_of_several_files_are_one_row() -> None:
    trials = [Result(PLAIN, "primary", "kill -9", acknowledged=one, well_seconds=one / 2) for one in (4, 9, 2)]
    assert (
        "| primary | kill -9 | 3 | 15 | 0 | 0 | 0 | 0 | 0 | 0.0 (0.0) | 0.0 (0.0) | 2.0 (4.5) | 3 of 3 |"
        in (report.tables(trials)[PLAIN])
    )


def test_a_trial_without_a_result_is_named_and_is_in_no_row() -> None:
    text = report.tables([Result(PLAIN, "primary", "kill -9", failed="postgres-1 is down.")])[PLAIN]
    assert text == "- primary, kill -9: a trial came to no result: postgres-1 is down.\n"


def test_every_kind_of_cluster_has_a_name_of_its_own() -> None:
    kinds = {kind_of(Options(failover=failover, valkey=valkey)) for failover in Failover for valkey in Valkey}
    assert len(kinds) == len(Failover) * len(Valkey)


def test_tables_that_are_written_replace_those_of_their_kind_alone(tmp_path: Path) -> None:
    path = document(tmp_path)
    for kind, acknowledged in (("one", 1), ("other", 2), ("one", 3)):
        report.write(report.tables([Result(kind, "primary", "kill -9", acknowledged=acknowledged)]), path)
    both = [Result("one", "primary", "kill -9", acknowledged=3), Result("other", "primary", "kill -9", acknowledged=2)]
    expected = f"before\n\n{report.BEGIN}\n\n{report.text(report.tables(both))}\n{report.END}\nafter\n"
    assert path.read_text() == expected
