"""The tally of an import, and its state file."""

from pathlib import Path

import pytest

from relay.ingest.outcome import DUPLICATE, OUTDATED, STORED, Outcome, Status
from relay.transfer.report import MAX_EXAMPLES, MAX_REASONS, OTHER, Example, Tally
from relay.transfer.state import State, StateFault, load, save


def test_each_outcome_is_counted_by_itself() -> None:
    tally = Tally()
    for number, outcome in enumerate([STORED, STORED, DUPLICATE, OUTDATED, Outcome(Status.REFUSED, "blocked: no")]):
        tally.add(outcome, number + 1, b"{}")

    assert tally.taken == {"stored": 2, "duplicate": 1, "outdated": 1}
    assert (tally.refusals, tally.total) == (1, 5)
    assert tally.refused["blocked: no"].examples == [Example(5, "{}")]


def test_examples_are_the_first_ones_cut_and_printable() -> None:
    first, second = Tally(), Tally()
    second.refuse("no", 2, b"\x1b[31m\xff" + b"x" * 1_000)
    for number in range(3, 10):
        second.refuse("no", number, b"")
    first.refuse("no", 1, b"a")
    first.merge(second)

    assert first.refused["no"].count == 9
    assert [one.line for one in first.refused["no"].examples] == [1, 2, 3][:MAX_EXAMPLES]
    assert first.refused["no"].examples[1].text == "?[31m\ufffd" + "x" * 94


def test_a_flood_of_different_reasons_is_counted_together() -> None:
    tally = Tally()
    for number in range(MAX_REASONS + 100):
        tally.refuse(f"reason {number}", number + 1, b"")

    assert len(tally.refused) == MAX_REASONS + 1
    assert tally.refused[OTHER].count == 100


def test_the_report_names_counts_reasons_and_lines() -> None:
    tally = Tally()
    tally.add(STORED, 1, b"{}")
    tally.refuse("invalid: not JSON", 1_234, b"junk")

    assert list(tally.text()) == [
        "           1  stored",
        "           1  refused: invalid: not JSON",
        "              line 1,234: junk",
    ]


def state() -> State:
    made = State("abc.1", 100, 7, "digest")
    made.tally.refuse("no", 3, "é".encode())
    return made


def test_a_state_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    save(tmp_path / "state", state())

    assert load(tmp_path / "state", "abc.1") == state()
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_an_import_does_not_go_on_with_another_store(tmp_path: Path) -> None:
    save(tmp_path / "state", state())

    with pytest.raises(StateFault, match=r"of store abc\.1, and this is abc\.2"):
        load(tmp_path / "state", "abc.2")


@pytest.mark.parametrize("text", [None, b"", b"{", b'{"offset": "x"}'])
def test_a_state_file_that_is_missing_or_damaged_says_so(tmp_path: Path, text: bytes | None) -> None:
    if text is not None:
        (tmp_path / "state").write_bytes(text)

    with pytest.raises(StateFault, match="start without --resume"):
        load(tmp_path / "state", "abc.1")
