"""`manage.py serve`: the relay under one supervisor. manage.py runs it without loading Django; this is for its help."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from relayproject.runtime.command import DESCRIPTION, add_arguments, serve


class Command(BaseCommand):
    """As relayproject.runtime.command."""

    help = DESCRIPTION
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Django: the options."""
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Django: run and exit."""
        raise SystemExit(serve(options["roles"]))
