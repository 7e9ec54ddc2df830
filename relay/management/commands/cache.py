"""`manage.py cache stats|clear|warm`: the caches of all instances. See docs/caching.md.

Exit codes: 0 done; 1 the shared cache or the database does not answer, or the question was answered no; 2 usage error;
130 Ctrl-C (entries already warmed stay).
"""

import logging
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from relay.caching.registry import CacheFigures
from relay.conf import config
from relay.management.command import CommandWithExamples
from relay.protocol.errors import Failed
from relay.services import caches
from relay.services.figures import ClusterSnapshot, read_figures_now
from relay.storage.store import current_store

SETTLE_SECONDS = 2.5
"""How long the workers may take to clear their L1."""

STATS = "Shows entries, hits and misses of each cache over all running instances."
CLEAR = "Clears caches in every running instance. Answers stay the same; the database has more load until they refill."
WARM = """Fills the shared cache: the newest 1,000 events of each common kind, the profiles of the 1,000 most active
authors, the 100 most active threads. Ctrl-C stops it; entries already written stay."""
EXAMPLES = """examples:
  manage.py cache stats
  manage.py cache stats --json | jq .total
  manage.py cache clear --name profiles
  manage.py cache clear --layer L2 --yes
  manage.py cache warm"""

HEAD = ("layer", "cache", "entries", "bytes", "hits", "misses", "hit rate", "evicted", "errors")
LEFT = 2
"""Number of left-aligned columns; the others are numbers."""


class Command(CommandWithExamples):
    """Needs the shared cache; `warm` needs the database as well."""

    help = "Shows, clears or warms the caches of all running instances."
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the options of each subcommand."""
        what = parser.add_subparsers(dest="what", required=True, metavar="{stats,clear,warm}")
        stats = what.add_parser("stats", help=STATS, description=STATS)
        stats.add_argument("--workers", action="store_true", help="each worker separately instead of totals")
        stats.add_argument("--json", action="store_true", help="as JSON: `total` and `workers`")
        clear = what.add_parser("clear", help=CLEAR, description=CLEAR)
        clear.add_argument("--name", choices=caches.NAMES, help="only this cache; default: all")
        clear.add_argument(
            "--layer",
            choices=caches.LAYERS,
            help="L1: the memory of every process; L2: the shared cache; default: both",
        )
        clear.add_argument("--yes", action="store_true", help="without confirmation")
        warm = what.add_parser("warm", help=WARM.partition(".")[0] + ".", description=WARM)
        warm.add_argument("--quiet", action="store_true", help="no progress")

    def handle(self, *_args: object, **options: Any) -> None:
        """Django: run; CommandError when a server does not answer."""
        logging.getLogger("relay").setLevel(logging.ERROR)  # failures are reported by CommandError
        try:
            getattr(self, f"_{options['what']}")(options)
        except caches.CachesUnavailable as error:
            raise CommandError(f"{error}. Check the server at CACHE_URL.") from None
        except DatabaseError as error:
            raise CommandError(f"the database does not answer ({error}). Check the server at DATABASE_URL.") from None
        except Failed as error:
            raise CommandError(f"{error.message}. Check the server at DATABASE_URL.") from None

    def _stats(self, options: dict[str, Any]) -> None:
        if not config().cache_url:
            raise caches.CachesUnavailable(caches.NO_CACHE)
        snapshot = read_figures_now(config().cache_url, current_store().name)
        if not snapshot.whole:
            raise caches.CachesUnavailable("the shared cache, which has the figures of the workers, does not answer")
        if not snapshot.workers:
            raise CommandError("no worker has reported figures in the last five seconds: is a relay running?")
        if options["json"]:
            self.stdout.write(as_json(snapshot))
        elif options["workers"]:
            for worker in snapshot.workers:
                self.stdout.write(f"{worker.instance}, worker {worker.worker}, process {worker.pid}")
                self.stdout.write(as_table(worker.caches) + "\n")
        else:
            instances = len(snapshot.instances)
            self.stdout.write(f"{len(snapshot.workers)} workers of {instances} instance{'s' if instances > 1 else ''}")
            self.stdout.write(as_table(snapshot.total.caches))

    def _clear(self, options: dict[str, Any]) -> None:
        name, layer = options["name"], options["layer"]
        what = f"{name or 'every cache'} of {layer or 'both layers'} in every instance"
        if not options["yes"] and not self._confirmed(f"Clear {what}? [y/N] "):
            raise CommandError("nothing was cleared")
        deleted = caches.clear(name, layer, SETTLE_SECONDS)
        results = [] if layer == "L1" else [f"{deleted:,} keys of the shared cache deleted"]
        results += [] if layer == "L2" else ["every process clears its memory within two seconds"]
        self.stdout.write(f"Cleared {what}: {', '.join(results)}.")

    def _confirmed(self, question: str) -> bool:
        if not sys.stdin.isatty():
            raise CommandError("no terminal to ask for confirmation: use --yes", returncode=2)
        return input(question).strip().lower() in {"y", "yes"}

    def _warm(self, options: dict[str, Any]) -> None:
        done = caches.Warmed()
        is_terminal = not options["quiet"] and self.stderr.isatty()

        def show_progress(step: int, steps: int, what: str) -> None:
            if options["quiet"]:
                return
            line = f"{100 * step // steps if steps else 100:3} %  {what}"
            self.stderr.write(
                f"\r{line:70}" if is_terminal else line, ending="" if is_terminal and step < steps else "\n"
            )

        try:
            caches.warm(show_progress, done)
        except KeyboardInterrupt:
            self.stderr.write("\nStopped." if is_terminal else "Stopped.")
            self.stdout.write(_warmed(done))
            sys.exit(130)
        self.stdout.write(_warmed(done))


def _warmed(done: caches.Warmed) -> str:
    return f"Warmed {done.events:,} events, {done.results:,} answers and {done.profiles:,} profiles."


def as_json(snapshot: ClusterSnapshot) -> str:
    """JSON with `total`, the caches of all workers, and `workers`: instance, worker, pid and caches of each."""
    workers = [
        {"instance": one.instance, "worker": one.worker, "pid": one.pid, "caches": one.caches}
        for one in snapshot.workers
    ]
    return msgspec.json.format(msgspec.json.encode({"total": snapshot.total.caches, "workers": workers})).decode()


def as_table(figures: Sequence[CacheFigures]) -> str:
    """One line for each cache, in aligned columns."""
    rows = [HEAD, *[_cells(cache) for cache in figures]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < LEFT else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _cells(cache: CacheFigures) -> tuple[str, ...]:
    asked = cache.hits + cache.misses
    rate = f"{100 * cache.hits / asked:.1f} %" if asked else "-"
    shared = cache.layer != "L1"  # the size of one cache in the shared server is not known
    held = ("-", "-") if shared else (f"{cache.size:,}", f"{cache.bytes:,}")
    counted = (cache.hits, cache.misses)
    return (
        cache.layer, cache.name, *held, *[f"{number:,}" for number in counted], rate,
        f"{sum(cache.evictions.values()):,}", f"{cache.errors:,}",
    )  # fmt: skip
