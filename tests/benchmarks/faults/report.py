"""The tables of the fault matrix: one for each kind of cluster, a row for each part and fault over all its trials."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.faults.results import Result

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/operations/faults.md"
BEGIN, END = "<!-- the tables: python -m tests.benchmarks.faults --write -->", "<!-- end of the tables -->"
HEADING = "### "
HEAD = (
    "part", "fault", "trials", "acknowledged", "lost", "wrong answers", "subscriptions dead", "not delivered", "twice",
    "longest wait for OK, s", "for an answer, s", "time to well, s", "by itself",
)  # fmt: skip


def tables(results: Sequence[Result]) -> dict[str, str]:
    """By kind of cluster, Markdown: a table, and which trials came to no result."""
    kinds = dict.fromkeys(one.kind for one in results)
    return {kind: _of_kind([one for one in results if one.kind == kind]) for kind in kinds}


def _of_kind(results: Sequence[Result]) -> str:
    ended = [one for one in results if not one.failed]
    text = table(ended) if ended else ""
    lines = [f"- {one.part}, {one.way}: a trial came to no result: {one.failed}\n" for one in results if one.failed]
    return text + ("\n" if text and lines else "") + "".join(lines)


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


def text(found: dict[str, str]) -> str:
    """The tables under their headings."""
    return "\n".join(f"{HEADING}{kind}\n\n{table}" for kind, table in found.items())


def write(found: dict[str, str], document: Path = DOCUMENT) -> None:
    """Put the tables into the document, in place of those of the same kinds; the others stay."""
    before, _, rest = document.read_text().partition(BEGIN)
    there, _, after = rest.partition(END)
    sections = (section.partition("\n") for section in f"\n{there}".split(f"\n{HEADING}")[1:])
    kept = {kind: body.strip() + "\n" for kind, _, body in sections}
    document.write_text(f"{before}{BEGIN}\n\n{text({**kept, **found})}\n{END}{after}")
