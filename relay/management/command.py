"""The base of management commands whose help ends with examples."""

from argparse import RawDescriptionHelpFormatter
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser


class CommandWithExamples(BaseCommand):
    """`examples`: shown below the options as written. No system checks: a command says which server is missing."""

    examples: ClassVar[str]
    requires_system_checks = []  # noqa: RUF012 (Django's own way)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django: the parser, with examples in its help."""
        shape = {"formatter_class": RawDescriptionHelpFormatter, "epilog": self.examples}
        return super().create_parser(prog_name, subcommand, **{**kwargs, **shape})
