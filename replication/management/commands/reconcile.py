"""`manage.py reconcile`: compares the store with that of a peer region, and heals both. See
docs/operations/anti-entropy.md.

Exit codes: 0 done; 1 it could not go on; 2 usage error; 130 Ctrl-C.
"""

import os
import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser

from relay.management.command import CommandWithExamples
from replication.models import Region
from replication.reconcile.report import Report
from replication.reconcile.session import FAULTS, Busy, Options, reconcile

INTERRUPTED = 130

HELP = """Compares what this region and a peer serve, by negentropy in windows of time, fetches what is lacking here and
sends what is lacking there. Deletions and requests to vanish first. It may be ended at any moment and started again."""
EXAMPLES = """examples:
  manage.py reconcile eu                            everything
  manage.py reconcile eu --since 2026-11-01         events that are dated since then
  manage.py reconcile eu --dry-run                  only count what is lacking on either side"""


def moment(text: str) -> int:
    """Unix seconds of a number or an ISO 8601 date, in UTC unless it says otherwise. Raises ArgumentTypeError."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("must be Unix seconds, or a date like 2026-11-01 or 2026-11-01T12:00") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def number(text: str) -> int:
    """A number from 1 to 64. Raises ArgumentTypeError."""
    if text.isdecimal() and 1 <= int(text) <= 64:
        return int(text)
    raise ArgumentTypeError("must be a number from 1 to 64")


class Command(CommandWithExamples):
    """Needs the database, beside running relays or without any, and the peer's relay."""

    help = HELP
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the options."""
        add = parser.add_argument
        add("peer", help="the name of the region")
        add("--since", type=moment, metavar="TIME", help="only events that are dated since then")
        add("--until", type=moment, metavar="TIME", help="only events that are dated until then")
        add("--dry-run", action="store_true", help="count what is lacking, and change nothing")
        add("--parallel", type=number, default=4, metavar="N", help="windows that are compared at a time; default: 4")
        cores = min(64, os.cpu_count() or 1)
        add("--processes", type=number, default=cores, metavar="N", help="that verify; default: one for each core")
        add("--json", action="store_true", help="the report as JSON")
        add("--quiet", action="store_true", help="no progress")

    def handle(self, *_: Any, **options: Any) -> None:
        """Django: compare, and print the report."""
        if options["since"] is not None and options["until"] is not None and options["since"] > options["until"]:
            raise CommandError("--since is later than --until.", returncode=2)
        peer = _peer(options["peer"])
        chosen = Options(
            since=options["since"],
            until=options["until"],
            parallel=options["parallel"],
            processes=options["processes"],
            dry_run=options["dry_run"],
            stops_on_signals=True,
            reason="manage.py reconcile",
        )
        try:
            report = reconcile(peer, chosen, self._show if not options["quiet"] else lambda report: None)
        except Busy:
            raise CommandError(f"Another run with {peer.name} is under way.") from None
        except FAULTS as fault:
            raise CommandError(
                f"{peer.name}: {str(fault).strip() or fault.__doc__}; the next run goes on from here"
            ) from None
        if options["json"]:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode())
        else:
            self.stdout.write("\n".join(report.text()))
        if not report.is_whole:
            self.stderr.write("Stopped; the next run goes on from here.")
            sys.exit(INTERRUPTED)

    def _show(self, report: Report) -> None:
        taken, given = sum(report.taken.values()), sum(report.given.values())
        self.stderr.write(
            f"{report.windows:,} windows, {report.compared:,} events compared, {taken:,} fetched, {given:,} sent"
        )


def _peer(name: str) -> Region:
    """The enabled peer with the name. Raises CommandError."""
    peers = {region.name: region for region in Region.objects.filter(is_local=False)}
    if name not in peers:
        raise CommandError(f"No peer has the name {name!r}. Peers: {', '.join(peers) or 'none'}.", returncode=2)
    if not peers[name].enabled:
        raise CommandError(f"{name} is disabled: `manage.py region set {name} --enabled`.")
    return peers[name]
