"""`manage.py partitions`: divides the events by time. See docs/operations/database.md.

Exit codes: 0 done, or nothing to do; 1 a step could not be done, what was done stays; 2 usage error; 130 Ctrl-C.
"""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, connection

from relay.management.command import CommandWithExamples
from relay.storage.partitions.plan import Grain, NoEnd, State, day, plan
from relay.storage.partitions.purge import ANY_NUMBER, purge_partitions, purgeable
from relay.storage.partitions.steps import Busy, carry_out, read_state

EXAMPLES = """examples:
  manage.py partitions --dry-run
  manage.py partitions
  manage.py partitions --status"""

_PROGRESS = (
    "SELECT p.phase, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total "
    "FROM pg_stat_progress_create_index AS p WHERE p.datname = current_database() AND p.relid = 'relay_event'::regclass"
)


class Command(CommandWithExamples):
    """Needs the database alone."""

    help = (
        "Divides the events of the store by created_at, by RELAY_PARTITIONS, while it serves clients, and adds the "
        "partitions of the next period. Drops partitions that retention hides. "
        "May be ended at any moment: the next run goes on."
    )
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the options."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--dry-run", action="store_true", help="print the steps and change nothing")
        what.add_argument("--status", action="store_true", help="print the partitions, and how far a division has come")

    def handle(self, *args: Any, **options: Any) -> None:
        """Django: run."""
        try:
            state = read_state()
            if options["status"]:
                self._print_status(state)
            else:
                self._run(state, is_dry=options["dry_run"])
        except Busy as busy:
            raise CommandError(f"{busy}.") from busy
        except NoEnd as fault:
            raise CommandError(str(fault)) from fault
        except DatabaseError as error:
            raise CommandError(f"The database refuses: {error}") from error

    def _run(self, state: State, *, is_dry: bool) -> None:
        ahead = settings.RELAY_CREATED_AT_UPPER_LIMIT
        steps = plan(state, Grain(settings.RELAY_PARTITIONS), int(time.time()), ahead)
        for number, step in enumerate(steps, 1):
            self.stdout.write(f"{number} of {len(steps)}: {step.text}", ending="\n" if is_dry else " ... ")
            self.stdout.flush()
            if not is_dry:
                begun = time.monotonic()
                carry_out(step)
                self.stdout.write(f"{time.monotonic() - begun:.1f} s")
        if is_dry:
            hidden = purgeable() if state.partitions else None
            if hidden:
                self.stdout.write(f"then: drop what retention hides, from relay_event_{hidden} on")
        elif gone := purge_partitions(ANY_NUMBER):
            self.stdout.write(f"{gone:,} events that retention hides dropped with their partitions")
        elif not steps:
            self.stdout.write("nothing to do")

    def _print_status(self, state: State) -> None:
        if not state.partitions:
            self.stdout.write(
                "one table" if state.closes is None else f"being divided: the past ends {day(state.closes)}"
            )
            self._print_progress()
        for part in state.partitions:
            begins = "" if part.begins is None else day(part.begins)
            ends = "" if part.ends is None else day(part.ends)
            self.stdout.write(
                f"relay_event_{part.suffix:<10} {begins:>10} to {ends:>10}  about {part.estimate:>12,} events "
                f"{part.bytes / 2**20:>12,.1f} MiB"
            )

    def _print_progress(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_PROGRESS)
            for phase, blocks, all_blocks, rows, all_rows in cursor.fetchall():
                self.stdout.write(f"{phase}: {blocks:,} of {all_blocks:,} blocks, {rows:,} of {all_rows:,} entries")
