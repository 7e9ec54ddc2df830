"""`manage.py export`: the events of the store as JSON Lines. See docs/operations/import-export.md.

Exit codes: 0 done; 1 the file cannot be written, or the database failed; 2 usage error; 130 Ctrl-C; 141 the reader of
standard output has gone.
"""

from typing import Any

import psycopg
from django.core.management.base import CommandError, CommandParser

from relay.conf import config
from relay.management.command import CommandWithExamples
from relay.protocol.errors import RelayError
from relay.storage.store import read_store
from relay.transfer.exporting import export, parse_filters
from relay.transfer.files import COMPRESSIONS, STANDARD, compression_of

HELP = """Exports the events that the relay serves, one JSON object a line, as they are at one position of the log. The
position is printed on standard error. Expired events are left out; private kinds (4, 1059) and requests to vanish (62)
are in it with --private alone. Importing all of that into an empty store gives the same served events."""
EXAMPLES = """examples:
  manage.py export backup.jsonl.zst --private       all that is stored, for a backup
  manage.py export - --compress gzip > public.jsonl.gz
  manage.py export --filter '{"kinds":[0,3]}' --filter '{"authors":["<64 hex digits>"]}' | jq .content
  manage.py export --filter '{"kinds":[1],"limit":1000}' --newest-first"""


class Command(CommandWithExamples):
    """Needs the database, beside running relays or without any."""

    help = HELP
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the options."""
        add = parser.add_argument
        add("file", nargs="?", default=STANDARD, help="the file; `-`, the default, is standard output")
        add(
            "--filter", action="append", default=[], metavar="JSON",
            help="a filter of NIP-01, or an array of them; several are a union; a `limit` is not capped",
        )  # fmt: skip
        add(
            "--private",
            action="store_true",
            help="with private kinds and requests to vanish: for operators' backups, keep it safe",
        )
        add("--newest-first", "--reverse", action="store_true", help="default: oldest first")
        add("--compress", choices=COMPRESSIONS, help="default: by the suffix of FILE (.gz, .zst)")
        add("--quiet", action="store_true", help="no progress")

    def handle(self, *_: Any, **options: Any) -> None:
        """Django: export, and tell how much and the position."""
        name = options["file"]
        try:
            filters = parse_filters(options["filter"], config().limits)
        except RelayError as fault:
            raise CommandError(f"--filter: {fault.message}", returncode=2) from None
        read_store()  # explains a database that does not run
        try:
            done = export(
                filters, name, options["compress"] or compression_of(name),
                private=options["private"], newest_first=options["newest_first"], quiet=options["quiet"],
            )  # fmt: skip
        except BrokenPipeError:
            raise
        except OSError as fault:
            raise CommandError(f"{name} cannot be written: {fault}") from None
        except psycopg.Error as fault:
            raise CommandError(f"the database failed: {str(fault).strip()}") from None
        self.stderr.write(f"{done.events:,} events, the store {done.store} after change {done.position:,} of its log")
