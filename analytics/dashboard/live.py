"""What happens now, as texts: from the board of the workers to the figures and tables of the page.

Rule: pure. Whoever calls it has read the board, the queue and the newest minute; what is not known is None.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from analytics.dashboard.cards import card_texts
from analytics.dashboard.number_format import count, duration, percent, rate, size
from analytics.models import Minute
from relay.services.figures import Board
from relay.services.worker_figures import PoolFigures, WorkerFigures

LAG_SECONDS = 5.0
"""A lag that is told as a fault."""

GOOD, BAD = "good", "bad"


@dataclass(slots=True)
class Row:
    """A line of a table: `key` names it while it moves, `level` is "" or BAD."""

    key: str
    cells: list[str]
    level: str = ""


@dataclass(slots=True)
class Live:
    """`figures` by the names in CARDS, `tables` by name, and in `faults` what an operator should look at."""

    figures: dict[str, str]
    tables: dict[str, list[Row]]
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """As the page's script reads it."""
        return {**asdict(self), "level": self.level, "said": self.said}

    @property
    def level(self) -> str:
        """GOOD or BAD."""
        return BAD if self.faults else GOOD

    @property
    def said(self) -> str:
        """The faults as one text, or that there are none."""
        return " ".join(self.faults) or "All is well."


def live(board: Board, waiting_jobs: int | None, newest: Minute | None, now: float) -> Live:
    """The figures and tables at `now` (Unix seconds). `newest`: the last minute of the history, for the store."""
    figures = card_texts(board, waiting_jobs, newest)
    tables = {"workers": [_worker(worker, now) for worker in board.workers], "layers": _layers(board.total)}
    return Live(figures, tables, list(_faults(board, waiting_jobs)))


def _worker(worker: WorkerFigures, now: float) -> Row:
    problem = _problem(worker)
    return Row(
        key=f"{worker.instance}/{worker.worker}/{worker.pid}",
        cells=[
            worker.instance,
            worker.worker,
            str(worker.pid),
            worker.version,
            duration(now - worker.started_at),
            count(worker.connections),
            rate(worker.events_per_second),
            rate(worker.queries_per_second),
            percent(worker.cpu_percent),
            size(worker.memory.get("rss")),
            problem or "well",
        ],
        level=BAD if problem else "",
    )


def _problem(worker: WorkerFigures) -> str:
    if not worker.database_up:
        return "no database"
    if not worker.bus_up:
        return "no bus"
    if not worker.shared_up:
        return "no shared cache"
    if worker.apart:
        return "cannot tell the shared cache"
    if not worker.ready:
        return "not ready"
    return "behind" if worker.lag_seconds > LAG_SECONDS else ""


def _layers(all_: WorkerFigures) -> list[Row]:
    rows = []
    for name in sorted({cache.layer for cache in all_.caches} | set(all_.layers)):
        caches = [cache for cache in all_.caches if cache.layer == name]
        moving = all_.layers.get(name)
        rows.append(
            Row(
                key=name,
                cells=[
                    name,
                    percent(moving.percent if moving else None),
                    rate(moving.lookups_per_second if moving else None),
                    count(sum(cache.size for cache in caches)),
                    size(sum(cache.bytes for cache in caches)),
                ],
            )
        )
    return rows


def _faults(board: Board, waiting_jobs: int | None) -> Iterable[str]:
    if not board.whole:
        yield "The cache does not answer: the figures are those of the worker that was asked, alone."
    if board.whole and not board.workers:
        yield "No worker has said anything in the last five seconds."
    for worker in board.workers:
        if problem := _problem(worker):
            yield f"Worker {worker.worker} of {worker.instance}: {problem}."
    if waiting_jobs is None and board.whole:
        yield "The broker of the jobs does not answer."
    yield from _starved(board.total.pools)


def _starved(pools: dict[str, PoolFigures]) -> Iterable[str]:
    for name, pool in pools.items():
        if pool.waiting > 5 and not pool.idle:
            yield f"{pool.waiting} wait for a connection to the database ({name})."
