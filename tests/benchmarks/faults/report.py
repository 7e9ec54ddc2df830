"""The table of the fault matrix: a row for each part and way, over all its trials."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.faults.trial import Result

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/operations/faults.md"
BEGIN, END = "<!-- the table: python -m tests.benchmarks.faults --write -->", "<!-- end of the table -->"
HEAD = (
    "part", "fault", "trials", "acknowledged", "lost", "wrong answers", "subscriptions dead", "not delivered", "twice",
    "longest wait for OK, s", "for an answer, s", "time to well, s", "by itself",
)  # fmt: skip


def table(results: Sequence[Result]) -> str:
    """Markdown. Times: median and greatest of the trials; `by itself`: in how many trials no repair was needed."""
    cases = dict.fromkeys((one.part, one.way) for one in results)
    rows = [_row([one for one in results if (one.part, one.way) == case]) for case in cases]
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _row(trials: list[Result]) -> tuple[str, ...]:
    sums = [str(sum(values)) for values in zip(*((one.acknowledged, one.lost, one.wrong, one.dead, one.undelivered,
                                                   one.twice) for one in trials), strict=True)]  # fmt: skip
    return (
        trials[0].part,
        trials[0].way,
        str(len(trials)),
        *sums,
        _times([one.publishing_gap_seconds for one in trials]),
        _times([one.asking_gap_seconds for one in trials]),
        _times([one.well_seconds for one in trials]),
        f"{sum(not one.repaired for one in trials)} of {len(trials)}",
    )


def _times(values: list[float]) -> str:
    return f"{median(values):.1f}" if len(values) == 1 else f"{median(values):.1f} ({max(values):.1f})"


def write(text: str, document: Path = DOCUMENT) -> None:
    """Put the table into the document, in place of the one that is there."""
    before, _, rest = document.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
