"""`manage.py import`: events from JSON Lines into the store. See docs/operations/import-export.md.

Exit codes: 0 done; 1 it could not go on, or with --strict a line was refused; 2 usage error; 130 Ctrl-C.
"""

import os
import sys
from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser

from relay.conf import config, own_places_beside
from relay.management.command import CommandWithExamples
from relay.storage.store import read_store, read_urls
from relay.transfer.files import FAULTS_OF_INPUT, STANDARD
from relay.transfer.run import FAULTS, ImportRun
from relay.transfer.session import Options

INTERRUPTED = 130
NO_ADDRESS = (
    "The store does not know the address of its relay yet, and requests to vanish name it: start `serve` once, or set "
    "RELAY_URL."
)

HELP = """Imports events from a file of JSON Lines, one event object a line, as strfry and `manage.py export` write it:
plain, gzip or zstd. Each event passes the checks of a published one, and subscriptions receive what is new."""
EXAMPLES = """examples:
  manage.py import events.jsonl.zst
  manage.py import events.jsonl.zst --resume        go on where Ctrl-C or a crash ended it
  strfry export | manage.py import -
  manage.py import backup.jsonl.gz --trusted        a backup of this relay: signatures are not verified again
  manage.py import events.jsonl --rate 500          beside clients, at most 500 events a second"""


def rate(text: str) -> float:
    """A positive number of events a second. Raises ArgumentTypeError."""
    try:
        if 0 < (value := float(text)) < float("inf"):
            return value
    except ValueError:
        pass
    raise ArgumentTypeError("must be a positive number of events a second")


def processes(text: str) -> int:
    """A number of processes from 1 to 256. Raises ArgumentTypeError."""
    if text.isdecimal() and 1 <= int(text) <= 256:
        return int(text)
    raise ArgumentTypeError("must be a number from 1 to 256")


class Command(CommandWithExamples):
    """Needs the database, beside running relays or without any."""

    help = HELP
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the options."""
        add = parser.add_argument
        cores = os.cpu_count() or 1
        add("file", nargs="?", default=STANDARD, help="the file; `-`, the default, is standard input")
        add("--resume", action="store_true", help="go on where the last import of this file ended")
        add("--state", type=Path, metavar="PATH", help="the state file; default: FILE.import-state, none for `-`")
        add(
            "--trusted",
            action="store_true",
            help="for backups of this relay: take protected events, do not verify signatures (ids are verified)",
        )
        add("--rate", type=rate, default=0, metavar="N", help="at most N events a second")
        add("--processes", type=processes, default=cores, metavar="N", help="that verify; default: one for each core")
        add("--strict", action="store_true", help="exit code 1 if a line was refused")
        add("--json", action="store_true", help="the report as JSON")
        add("--quiet", action="store_true", help="no progress")

    def handle(self, *_: Any, **options: Any) -> None:
        """Django: import, and print the report."""
        path = options["state"]
        if path is None and options["file"] != STANDARD:
            path = Path(options["file"] + ".import-state")
        if options["resume"] and path is None:
            raise CommandError("--resume of standard input needs --state", returncode=2)
        store = read_store()
        places = own_places_beside(read_urls())
        if not places:
            raise CommandError(NO_ADDRESS)
        conf = replace(config(), own_places=places)
        try:
            run = ImportRun(options["file"], path, store, conf, resume=options["resume"], quiet=options["quiet"])
        except FAULTS_OF_INPUT as fault:
            raise CommandError(f"{options['file']} cannot be read: {fault}") from None
        except FAULTS as fault:
            raise CommandError(str(fault)) from None
        is_whole = False
        try:
            is_whole = run.run(Options(options["processes"], options["trusted"], options["rate"]))
        except FAULTS as fault:
            raise CommandError(f"{fault}{_advice(path)}") from None
        finally:
            self._report(run, as_json=options["json"])
        if not is_whole:
            self.stderr.write(f"Stopped{_advice(path)}.")
            sys.exit(INTERRUPTED)
        if options["strict"] and run.state.tally.refusals:
            sys.exit(1)

    def _report(self, run: ImportRun, *, as_json: bool) -> None:
        tally = run.state.tally
        if as_json:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(tally)).decode())
            return
        new = tally.total - run.lines_before
        self.stdout.write(f"{tally.total:,} lines, {new:,} of them in {run.seconds:,.1f} s")
        for line in tally.text():
            self.stdout.write(line)


def _advice(path: Path | None) -> str:
    return "" if path is None else "; --resume goes on from here"
