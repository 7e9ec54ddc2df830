"""Questions and publishing over the WebSocket of real relays, by turns where stores are compared.

Each of the stores that are compared has a relay of its own with two workers and its own PostgreSQL; all run at once.
A figure is a median over rounds; in each round one store is asked after the other, in every second round the other way
round. A ratio is the median of those of the rounds.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import psycopg
import uvloop

from relayproject.runtime.processes import living_in
from tests.acceptance.relay_process import RelayProcess, running
from tests.benchmarks import bulk, hit_rates
from tests.benchmarks.asker import Asked, ask, publish
from tests.benchmarks.echo import echoes_and_frames
from tests.benchmarks.published import until_filled
from tests.benchmarks.scale import report
from tests.benchmarks.scale.questions import MIXED, makers
from tests.benchmarks.scale.stores import Size, bytes_of, forget
from tests.benchmarks.scaling.platform import of_postgres, resident
from tests.benchmarks.written import Writing

Json = dict[str, Any]
Tell = Callable[[str], None]
T = TypeVar("T")
VARIANTS = dict(zip(report.VARIANTS, ("no cache", "L1+L2"), strict=True))
"""Here, and in `hit_rates.VARIANTS`."""

CONNECTIONS = 8
PUBLISHERS, WINDOW = 10, 50
PUBLISHING = "publishing"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: rounds, seconds of each question in a round and before the first one, events of a round."""

    rounds: int = 3
    seconds: float = 1.2
    warm_seconds: float = 0.8
    events: int = 3_000

    def of_a_store(self, questions: int) -> float:
        """Seconds that a store takes for one variant, about."""
        return questions * (self.rounds * self.seconds + self.warm_seconds) + 3.0 * self.rounds + 14.0


@dataclass
class Site:
    """A store with its relay. `rounds`: what each round found, by what was done, in order."""

    size: Size
    folder: Path
    relay: RelayProcess
    crowd: Any
    workers: Sequence[int] = ()
    rounds: dict[str, list[Json]] = field(default_factory=dict)

    def note(self, name: str, **found: Any) -> None:
        """Of one round."""
        self.rounds.setdefault(name, []).append(found)

    def cpu(self) -> float:
        """Seconds of PostgreSQL so far."""
        return of_postgres(self.folder / "postgres")

    @contextmanager
    def database(self) -> Iterator["psycopg.Connection[Any]"]:
        """PostgreSQL itself."""
        with psycopg.connect(self.relay.services()["DATABASE_URL"], autocommit=True) as database:
            yield database


def measure(stores: Mapping[Size, Path], variant: str, effort: Effort, tell: Tell) -> list[Json]:
    """The figures of each store; those after the first also as `ratios` to the first."""
    echoes = [echoes_and_frames()[0]]
    with ExitStack() as stack:
        sites = [stack.enter_context(_site(size, folder, variant)) for size, folder in stores.items()]
        asked = [makers(site.crowd, 7) for site in sites]
        for name in asked[0]:
            tell(f"{variant}: {name}")
            for site, make in zip(sites, asked, strict=True):
                _ask(site, make[name], effort.warm_seconds)
            for number in range(effort.rounds):
                for site, make in _in_turn(list(zip(sites, asked, strict=True)), number):
                    site.note(name, **_ask(site, make[name], effort.seconds))
        memory = [_memory(site) for site in sites]
        tell(f"{variant}: publishing")
        frames = _frames(sites[0], effort.events * (effort.rounds + 1))
        for number in range(effort.rounds + 1):
            part = frames[number * effort.events : (number + 1) * effort.events]
            for site in _in_turn(sites, number):
                rate = uvloop.run(publish(site.relay.ws_url, part, connections=PUBLISHERS, window=WINDOW))
                if number:  # the first is for warming up
                    site.note(PUBLISHING, per_second=rate)
        tell(f"{variant}: removing what was published")
        for site in sites:
            with site.database() as database:
                forget(database, site.size.events)
    echoes.append(echoes_and_frames()[0])
    found = [_figures(site, variant, statistics.mean(echoes), size) for site, size in zip(sites, memory, strict=True)]
    for site, figures in zip(sites[1:], found[1:], strict=True):
        figures["ratios"] = _ratios(sites[0], site)
    return found


@contextmanager
def _site(size: Size, folder: Path, variant: str) -> Iterator[Site]:
    _into_memory(folder)
    relay = hit_rates.relay_on(folder, hit_rates.VARIANTS[VARIANTS[variant]])
    with running(relay):
        site = Site(size, folder, relay, bulk.load_crowd(folder), relay.workers())
        with site.database() as database:  # its CPU would be charged to whatever runs then
            database.execute("ALTER SYSTEM SET autovacuum = off")
            database.execute("SELECT pg_reload_conf()")
        if VARIANTS[variant] != "no cache":
            until_filled(relay)
        yield site


def _into_memory(folder: Path) -> None:
    """Have the system hold the files of a store, unless they would take more than half of its memory."""
    files = [path for path in (folder / "postgres" / "base").rglob("*") if path.is_file()]
    if sum(path.stat().st_size for path in files) > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2:
        return
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.read(2**22):
                pass


def _in_turn(each: Sequence[T], number: int) -> Sequence[T]:
    return each[::-1] if number % 2 else each


def _ask(site: Site, make: Any, seconds: float) -> Json:
    """One round of a question: latencies and PostgreSQL's CPU of an answer in milliseconds; no rate if refused."""
    before = site.cpu()
    try:
        asked: Asked = uvloop.run(ask(site.relay.ws_url, make, connections=CONNECTIONS, seconds=seconds))
    except (RuntimeError, TimeoutError):
        return {"per_second": 0.0, "latencies": [], "postgres_ms": 0.0}
    return {
        "per_second": asked.per_second,
        "latencies": [1e3 * each for values in asked.latencies.values() for each in values],
        "postgres_ms": 1e3 * (site.cpu() - before) / asked.queries,
    }


def _frames(site: Site, count: int) -> list[bytes]:
    """Events as those that are stored, and that answer them."""
    writing = Writing(Random(8))
    writing.recent.extend(event[:2] for event in site.crowd.events[-2_000:])
    writing.choose_popular()
    begin = time.time_ns()
    return [writing.signed(begin + number) for number in range(count)]


def _memory(site: Site) -> Json:
    """Bytes: of PostgreSQL, what is shared counted once, and of one worker."""
    return {
        "postgres": sum(map(_proportional, living_in(site.folder / "postgres", "postgres"))),
        "worker": max(map(resident, site.workers)),
    }


def _proportional(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1_024
    return 0


def _figures(site: Site, variant: str, echo: float, memory: Json) -> Json:
    asked = {name: _question(rounds) for name, rounds in site.rounds.items() if name != PUBLISHING}
    rates = [each["per_second"] for name, each in asked.items() if name != MIXED and each["per_second"]]
    return {
        "events": site.size.events,
        "parts": site.size.parts,
        "variant": variant,
        "at": time.strftime("%Y-%m-%d"),
        "questions": asked,
        "mean": statistics.geometric_mean(rates),
        "echo": echo,
        "publishing": statistics.median(each["per_second"] for each in site.rounds[PUBLISHING]),
        "memory": memory,
    }


def _question(rounds: Sequence[Json]) -> Json:
    latencies = sorted(each for one in rounds for each in one["latencies"]) or [0.0]
    return {
        "per_second": statistics.median(one["per_second"] for one in rounds),
        "p50_ms": statistics.median(latencies),
        "p95_ms": latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))],
        "postgres_ms": statistics.median(one["postgres_ms"] for one in rounds),
    }


def _ratios(one: Site, other: Site) -> Json:
    """By what was done: `rate` of `other` through that of `one`, and `postgres`: of the CPU of an answer."""
    found = {}
    for name, rounds in other.rounds.items():
        pairs = list(zip(one.rounds[name], rounds, strict=True))
        found[name] = {"rate": statistics.median(b["per_second"] / max(a["per_second"], 1e-9) for a, b in pairs)}
        if name != PUBLISHING:
            costs = [b["postgres_ms"] / max(a["postgres_ms"], 1e-9) for a, b in pairs]
            found[name]["postgres"] = statistics.median(costs)
    return found


def bytes_an_event(folder: Path, size: Size) -> Json:
    """Of each table and index, by a relay that is started for it."""
    with _site(size, folder, "without caches") as site, site.database() as database:
        return {
            kind: {name: each / size.events for name, each in found.items()}
            for kind, found in bytes_of(database).items()
        }
