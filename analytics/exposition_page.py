"""The text of /metrics: the relay's figures, those of prometheus_client, and HELP and TYPE of what has no value yet.

Rule: it is the same whichever worker of an instance answers. Workers share a folder (PROMETHEUS_MULTIPROC_DIR, made by
`serve`); a process that was started by hand has none and shows its own figures alone.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric

import analytics.exposition_tasks  # noqa: F401  declares the metrics of jobs in this process as well
from analytics.exposition import METRICS
from analytics.exposition_files import Files, merged
from analytics.exposition_kinds import percent
from relay.services import process

sources: list[Callable[[], Iterable[Metric]]] = []
"""Metrics of other packages, which are asked for at each scrape, in its thread."""


class Page:
    """A collector over one scrape."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        """The families, as prometheus_client asks for them."""
        return self._found


def page(folder: Path | None) -> bytes:
    """The text in Prometheus's format; takes some milliseconds and reads files: not for the loop."""
    registry = CollectorRegistry()
    if folder is None:
        with TemporaryDirectory(prefix="relay-metrics-") as made:
            if relay := process.current():
                Files(Path(made), "own").write(relay.status.mine())
            registry.register(Page([*_whole(Path(made), OWN), *REGISTRY.collect(), *_of_others()]))
    else:
        registry.register(Page([*_whole(folder, [*OWN, *REGISTRY.collect()]), *_of_others()]))
    return generate_latest(registry)


def _of_others() -> Iterator[Metric]:
    for source in sources:
        yield from source()


def _whole(folder: Path, declared: Iterable[Metric]) -> Iterator[Metric]:
    """What the processes of a folder counted, dead ones included, and what is declared and has no value yet."""
    names = set()
    for family in merged(folder):
        names.add(family.name)
        yield percent(family) if family.name == "nostr_cache_hit_rate" else family
    for head in declared:
        if head.name not in names and not head.name.startswith(LEFT_OUT):
            yield Metric(head.name, head.documentation, head.type)


OWN = tuple(Metric(each.name.removesuffix("_total"), each.meaning, each.kind.partition("_")[0]) for each in METRICS)

LEFT_OUT = ("process_", "python_", "django_model_", "django_migrations_")
"""Metrics of the one process that answers, and metrics that are not counted here."""
