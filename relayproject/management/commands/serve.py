"""`manage.py serve`: the whole relay under one supervisor. manage.py runs it without loading Django first."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from relayproject.runtime.command import DESCRIPTION, add_arguments, serve


class Command(BaseCommand):
    help = DESCRIPTION
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        raise SystemExit(serve(options["roles"]))
