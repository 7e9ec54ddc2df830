"""`manage.py cluster`: a platform on this machine. manage.py runs it without loading Django; this is for its help."""

from argparse import ArgumentParser, Namespace
from typing import Any

from django.core.management.base import BaseCommand

from relayproject.runtime.cluster.command import DESCRIPTION, add_arguments, run


class Command(BaseCommand):
    """As relayproject.runtime.cluster.command."""

    help = DESCRIPTION
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Django: the options."""
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Django: run and exit."""
        raise SystemExit(run(Namespace(**options)))
