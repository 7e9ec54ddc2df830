"""The command line of `manage.py serve`, without Django so that the supervisor is small and starts fast."""

import argparse
import os
import sys
from pathlib import Path

ROLES = ("web", "worker", "beat", "migrate")
MANAGE = Path(__file__).resolve().parent.parent.parent / "manage.py"

DESCRIPTION = (
    "Run the relay: PostgreSQL and Valkey (embedded ones, unless DATABASE_URL or REDIS_URL names yours), "
    "the relay workers, the Celery worker and beat, under one supervisor."
)
EPILOG = """\
settings (environment variables; docs/settings.md has them all):
  RELAY_HOST, RELAY_PORT   listening address (127.0.0.1, 8000)
  RELAY_WORKERS            relay processes (one for each core)
  RELAY_DATA_DIR           data folder (./var)
  DATABASE_URL, REDIS_URL  your servers; SECRET_KEY is required with DATABASE_URL

Stop it with Ctrl-C or SIGTERM: it drains and exits within 10 seconds; a second Ctrl-C, more than a
second later, kills the children.
"""


def roles(text: str) -> frozenset[str]:
    """Parse roles separated by commas; raises ArgumentTypeError that names the known ones."""
    wanted = frozenset(word.strip() for word in text.split(",") if word.strip())
    if not wanted or wanted - set(ROLES):
        raise argparse.ArgumentTypeError(f"{text!r}: choose from {','.join(ROLES)}")
    return wanted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `serve` to a parser."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--roles",
        type=roles,
        default=frozenset(ROLES),
        metavar=",".join(ROLES),
        help="what this machine runs (default: all). web: relay workers; worker: Celery worker; beat: the scheduler, "
        "active on one machine at a time, the others stand by; migrate: migrations before the start",
    )


def serve(wanted: frozenset[str]) -> int:
    """Run until stopped; returns the exit code. StartupError: its sentence on standard error and 1."""
    from relayproject.runtime.errors import StartupError
    from relayproject.runtime.supervisor import run

    try:
        return run(wanted)
    except StartupError as refusal:
        sys.stderr.write(f"serve: {refusal}\n")
        return 1


def main(arguments: list[str]) -> int:
    """`manage.py serve ARGUMENT...`; returns the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relayproject.settings")
    parser = argparse.ArgumentParser(prog="manage.py serve", description=DESCRIPTION)
    add_arguments(parser)
    return serve(parser.parse_args(arguments).roles)
