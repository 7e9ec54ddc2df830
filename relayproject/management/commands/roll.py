"""`manage.py roll`: replaces the processes of the running `serve` without refusing a connection."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from relayproject.runtime.roll import RollError, roll

START_SECONDS = 300.0
"""For the check of the program, migrations and the start of all workers."""


class Command(BaseCommand):
    """Prints each step."""

    help = (
        "Replace the processes of the `serve` on the data folder (RELAY_DATA_DIR), without refusing a connection: the "
        "program as it is on disk now takes over its listening sockets. Old processes then close their connections "
        "over RELAY_DRAIN_SECONDS. PostgreSQL and Valkey go on. The environment stays that of the running `serve`."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Django: the options."""
        parser.add_argument(
            "--seconds", type=float, help="how long to wait for its end (default: the drain time and 300)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Django: run; CommandError when it was refused or has failed."""
        seconds = options["seconds"] or 2 * settings.RELAY_DRAIN_SECONDS + START_SECONDS
        try:
            roll(settings.RELAY_DATA_DIR, seconds, self.stdout.write)
        except RollError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("all processes are replaced")
