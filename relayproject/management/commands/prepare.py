"""`manage.py prepare`: migrations, job schedule and first administrator, safe on many machines at once.

The first password is printed on a terminal alone. Otherwise (a log, a pipe) it is written to a file in the data folder
that its owner alone can read, and the path is printed. The first `prepare` after a change of the password deletes it.
"""

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from relayproject.runtime import preparation
from relayproject.runtime.errors import StartupError
from relayproject.runtime.say import say

PASSWORD_FILE = "first_password"  # noqa: S105  a name


class Command(BaseCommand):
    """Prints the first administrator, with the generated password or where that is, on standard output."""

    help = (
        "Apply migrations and create the first administrator if there is no user. Its generated password is printed on "
        "a terminal, else written to a private file in the data folder. `serve` runs this command for the role migrate."
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
        parser.add_argument(
            "--show-password", action="store_true", help="print the generated password, terminal or not"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Django: run; CommandError when the database does not answer, is newer, or the settings are wrong."""
        try:
            if not os.environ.get("RELAY_SUPERVISED"):  # the supervisor has checked the settings
                self._refuse_failed_checks()
            preparation.connect()
            if options["wait"] is not None:
                preparation.wait_until_prepared(options["wait"], lambda text: say("prepare", text))
            else:
                self._prepare(show=options["show_password"] or sys.stdout.isatty())
            if (warning := preparation.too_few_connections()) is not None:
                say("prepare", f"warning: {warning}")
        except StartupError as refusal:
            raise CommandError(str(refusal)) from refusal

    def _prepare(self, *, show: bool) -> None:
        file = Path(settings.RELAY_DATA_DIR, PASSWORD_FILE)
        with preparation.prepare_lock():
            preparation.quiet_server_log()
            applied = preparation.migrate()
            preparation.install_schedule()
            preparation.install_regions()
            password = self._administrator(None if show else file)
            removed = preparation.remove_old_password(file)
        if applied:
            say("prepare", f"{applied} migrations applied")
        if removed:
            say("prepare", f"{file} is deleted: the password was changed")
        if password is not None:
            told = f"password: {password}" if show else f"password in {file} (deleted after you have changed it)"
            self.stdout.write(f"administrator: {preparation.ADMINISTRATOR}, {told}")

    def _administrator(self, file: Path | None) -> str | None:
        try:
            if file is not None:
                file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            return preparation.create_first_administrator(file)
        except OSError as error:
            raise StartupError(f"The first password cannot be written to {file} ({error.strerror}).") from error

    def _refuse_failed_checks(self) -> None:
        from django.core.checks import run_checks

        errors = [message for message in run_checks() if message.is_serious()]
        if errors:
            raise StartupError(" ".join(f"{error.msg} {error.hint or ''} ({error.id})" for error in errors))
