"""The 95th percentiles of the last minute, for the first page and the history. Pure."""

from typing import Final

from msgspec.structs import replace

from relay.services.worker_figures import NOTHING, HistogramFigures, WorkerFigures, total

HIGH: Final = 0.95


def recent_queries(figures: WorkerFigures) -> HistogramFigures | None:
    """All queries of the last minute in one histogram (seconds), however they were answered; None without any."""
    parts = [each for name, each in figures.recent.items() if name.startswith("query/")]
    return total(replace(NOTHING, recent={"": part}) for part in parts).recent.get("")


def p95(histogram: HistogramFigures | None) -> float | None:
    """The seconds that 95 in 100 took no longer than; None when there were none."""
    return None if histogram is None else histogram.quantile(HIGH)
