"""`manage.py cache stats|clear|warm`: the caches of all instances, for operators. See docs/caching.md.

Rule: nothing here changes what the relay answers. Exit codes: 0 done, 1 the shared cache or the database is away or the
answer was no, 2 wrong usage, 130 stopped with Ctrl-C (what was warmed until then stays).
"""

import logging
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from relay.caching.registry import CacheFigures
from relay.conf import config
from relay.protocol.errors import Failed
from relay.services import caches
from relay.services.figures import Board, read_figures_now

SETTLE_SECONDS = 2.5
"""Within which every process has heard that it shall clear its first layer."""

STATS = "Shows what each cache of all running instances holds and how often it had the answer."
CLEAR = (
    "Clears caches in every running instance. Answers stay the same; they cost more until the caches are full again."
)
WARM = """Fills the shared cache: the newest 1,000 events of each common kind, the profiles of the 1,000 most active
authors, the 100 most talked-about threads. Stop it with Ctrl-C at any time: what was written stays."""
EXAMPLES = """examples:
  manage.py cache stats
  manage.py cache stats --json | jq .total
  manage.py cache clear --name profiles
  manage.py cache clear --layer L2 --yes
  manage.py cache warm"""

HEAD = ("layer", "cache", "entries", "bytes", "hits", "misses", "hit rate", "evicted", "errors")
LEFT = 2
"""Columns of text; the others are numbers."""


class Command(BaseCommand):
    help = "Shows, clears or warms the caches of all running instances."
    requires_system_checks = []  # noqa: RUF012 (Django's own way): it must work while the database is away

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        shape = {"formatter_class": RawDescriptionHelpFormatter, "epilog": EXAMPLES}
        return super().create_parser(prog_name, subcommand, **{**kwargs, **shape})

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_subparsers(dest="what", required=True, metavar="{stats,clear,warm}")
        stats = what.add_parser("stats", help=STATS, description=STATS)
        stats.add_argument("--workers", action="store_true", help="each worker by itself, not their sum")
        stats.add_argument("--json", action="store_true", help="as JSON: `total`, and `workers` one by one")
        clear = what.add_parser("clear", help=CLEAR, description=CLEAR)
        clear.add_argument("--name", choices=caches.NAMES, help="this cache alone; default: all")
        clear.add_argument(
            "--layer",
            choices=caches.LAYERS,
            help="L1: the memory of every process; L2: the shared cache; default: both",
        )
        clear.add_argument("--yes", action="store_true", help="do not ask")
        warm = what.add_parser("warm", help=WARM.partition(".")[0] + ".", description=WARM)
        warm.add_argument("--quiet", action="store_true", help="no progress")

    def handle(self, *_args: object, **options: Any) -> None:
        logging.getLogger("relay").setLevel(logging.ERROR)  # whatever matters here is said as a sentence
        try:
            getattr(self, f"_{options['what']}")(options)
        except caches.CachesAway as error:
            raise CommandError(f"{error}. The server at CACHE_URL must run.") from None
        except Failed as error:
            raise CommandError(f"{error.message}. The server at DATABASE_URL must run.") from None

    def _stats(self, options: dict[str, Any]) -> None:
        board = read_figures_now(config().cache_url)
        if not config().cache_url:
            raise caches.CachesAway(caches.NO_CACHE)
        if not board.whole:
            raise caches.CachesAway("the shared cache, where workers leave their figures, does not answer")
        if not board.workers:
            raise CommandError("no worker has left figures within the last five seconds: is a relay running?")
        if options["json"]:
            self.stdout.write(as_json(board))
        elif options["workers"]:
            for worker in board.workers:
                self.stdout.write(f"{worker.instance}, worker {worker.worker}, process {worker.pid}")
                self.stdout.write(as_table(worker.caches) + "\n")
        else:
            instances = len(board.instances)
            self.stdout.write(f"{len(board.workers)} workers of {instances} instance{'s' if instances > 1 else ''}")
            self.stdout.write(as_table(board.total.caches))

    def _clear(self, options: dict[str, Any]) -> None:
        name, layer = options["name"], options["layer"]
        what = f"{name or 'every cache'} of {layer or 'both layers'} in every instance"
        if not options["yes"] and not self._agreed(f"Clear {what}? [y/N] "):
            raise CommandError("nothing was cleared")
        gone = caches.clear(name, layer, SETTLE_SECONDS)
        said = [] if layer == "L1" else [f"{gone:,} keys of the shared cache are gone"]
        said += [] if layer == "L2" else ["every process clears its memory within two seconds"]
        self.stdout.write(f"Cleared {what}: {', '.join(said)}.")

    def _agreed(self, question: str) -> bool:
        if not sys.stdin.isatty():
            raise CommandError("nobody can be asked here: use --yes", returncode=2)
        return input(question).strip().lower() in {"y", "yes"}

    def _warm(self, options: dict[str, Any]) -> None:
        done = caches.Warmed()
        shows = not options["quiet"] and self.stderr.isatty()

        def tell(step: int, steps: int, what: str) -> None:
            if options["quiet"]:
                return
            line = f"{100 * step // steps if steps else 100:3} %  {what}"
            self.stderr.write(f"\r{line:70}" if shows else line, ending="" if shows and step < steps else "\n")

        try:
            caches.warm(tell, done)
        except KeyboardInterrupt:
            self.stderr.write("\nStopped." if shows else "Stopped.")
            self.stdout.write(_warmed(done))
            sys.exit(130)
        self.stdout.write(_warmed(done))


def _warmed(done: caches.Warmed) -> str:
    return f"Warmed {done.events:,} events, {done.results:,} answers and {done.profiles:,} profiles."


def as_json(board: Board) -> str:
    """`total`: the caches of all workers; `workers`: instance, worker, pid and caches of each."""
    workers = [
        {"instance": one.instance, "worker": one.worker, "pid": one.pid, "caches": one.caches} for one in board.workers
    ]
    return msgspec.json.format(msgspec.json.encode({"total": board.total.caches, "workers": workers})).decode()


def as_table(figures: Sequence[CacheFigures]) -> str:
    """One line a cache, columns aligned."""
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
    shared = cache.layer != "L1"  # how much of a shared server is this cache's, nobody counts
    held = ("-", "-") if shared else (f"{cache.size:,}", f"{cache.bytes:,}")
    counted = (cache.hits, cache.misses)
    return (
        cache.layer, cache.name, *held, *[f"{number:,}" for number in counted], rate,
        f"{sum(cache.evictions.values()):,}", f"{cache.errors:,}",
    )  # fmt: skip
