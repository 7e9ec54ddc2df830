"""`manage.py dbshell`: Django's, on the database of a running `serve`, with the embedded psql if there is no other."""

import contextlib
import os
import shutil
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands.dbshell import Command as DjangoCommand

from relayproject.runtime.database_check import require_database
from relayproject.runtime.errors import StartupError


class Command(DjangoCommand):
    """Django's dbshell."""

    def handle(self, **options: Any) -> None:
        """Django: run; CommandError when the database does not answer."""
        try:
            require_database()
        except StartupError as refusal:
            raise CommandError(str(refusal)) from refusal
        if shutil.which("psql") is None:
            from relayproject.runtime.postgres import binaries

            with contextlib.suppress(StartupError):
                os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{binaries()}"
        super().handle(**options)
