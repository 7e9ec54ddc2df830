"""The text of /metrics: the relay's own figures, what prometheus_client counted, and a head for what has no value yet.

Rule: it is the same whichever worker of an instance answers. Workers share a folder (PROMETHEUS_MULTIPROC_DIR, made by
`serve`); a process that was started by hand has none and speaks for itself alone.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

import analytics.exposition_tasks  # noqa: F401  declares the metrics of jobs in this process as well
from analytics.exposition import families
from analytics.exposition_kinds import Seen
from analytics.exposition_store import seen
from relay.services import runtime
from relay.services.worker_figures import total


class Page:
    """A collector over one scrape."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def page(folder: Path | None) -> bytes:
    """The text in Prometheus's format; takes some milliseconds and reads files: not for the loop."""
    registry = CollectorRegistry()
    if folder is None:
        registry.register(Page([*families(own()), *REGISTRY.collect()]))
    else:
        registry.register(Page([*families(seen(folder)), *_counted(folder)]))
    return generate_latest(registry)


def own() -> Seen:
    """This process alone."""
    relay = runtime.current()
    workers = () if relay is None else (relay.status.mine(),)
    return Seen(workers, total(workers))


def _counted(folder: Path) -> Iterator[Metric]:
    """What the processes of this instance counted with prometheus_client, dead ones included."""
    names = set()
    shared: Any = MultiProcessCollector
    for family in shared(None, str(folder)).collect():
        names.add(family.name)
        yield family
    for declared in REGISTRY.collect():
        if declared.name not in names and not declared.name.startswith(LEFT_OUT):
            yield Metric(declared.name, declared.documentation, declared.type)


LEFT_OUT = ("process_", "python_", "django_model_", "django_migrations_")
"""Those of one process, which would be those of whoever answers, and those that nothing here counts."""
