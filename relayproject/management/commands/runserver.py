"""`manage.py runserver`: daphne's development server, after a check that the database answers."""

from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand
from django.core.management.base import CommandError

from relayproject.runtime.database_check import require_database
from relayproject.runtime.errors import StartupError


class Command(DaphneCommand):  # type: ignore[misc]  # daphne has no types
    """daphne's runserver."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Django: run; CommandError when the database does not answer."""
        try:
            require_database()
        except StartupError as refusal:
            raise CommandError(str(refusal)) from refusal
        super().handle(*args, **options)
