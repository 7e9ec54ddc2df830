"""`manage.py runserver`: daphne's development server, which says in one sentence when no database runs."""

from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand
from django.core.management.base import CommandError

from relayproject.runtime.presence import require_database
from relayproject.runtime.refusal import Refusal


class Command(DaphneCommand):  # type: ignore[misc]  # daphne has no types
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            require_database()
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        super().handle(*args, **options)
