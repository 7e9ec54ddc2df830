"""`manage.py prepare`: migrations, job schedule and first administrator, safe on many machines at once."""

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from relayproject.runtime import preparation
from relayproject.runtime.errors import StartupError


class Command(BaseCommand):
    """Prints the generated password of the first administrator on standard output."""

    help = (
        "Apply migrations and create the first administrator if there is no user; "
        "prints the administrator's generated password. `serve` runs it for the role migrate."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Django: the options."""
        parser.add_argument(
            "--wait",
            type=float,
            metavar="SECONDS",
            help="change nothing; wait until another machine has applied the migrations",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Django: run; CommandError when the database does not answer, is newer, or the settings are wrong."""
        try:
            if not os.environ.get("RELAY_SUPERVISED"):  # the supervisor has checked the settings
                self._refuse_failed_checks()
            preparation.connect()
            if options["wait"] is not None:
                preparation.wait_until_prepared(options["wait"])
            else:
                self._prepare()
        except StartupError as refusal:
            raise CommandError(str(refusal)) from refusal

    def _prepare(self) -> None:
        with preparation.prepare_lock():
            preparation.quiet_server_log()
            applied = preparation.migrate()
            preparation.install_schedule()
            password = preparation.create_first_administrator()
        if applied:
            self.stderr.write(f"prepare: {applied} migrations applied")
        if password is not None:
            self.stdout.write(f"administrator: {preparation.ADMINISTRATOR}, password: {password}")

    def _refuse_failed_checks(self) -> None:
        from django.core.checks import run_checks

        errors = [message for message in run_checks() if message.is_serious()]
        if errors:
            raise StartupError(" ".join(f"{error.msg} {error.hint or ''} ({error.id})" for error in errors))
