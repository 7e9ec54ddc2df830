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

Stop it with Ctrl-C or SIGTERM: it drains and exits within 10 seconds, with the default settings; a
second Ctrl-C, more than a second later, kills the children. `manage.py roll` replaces its processes, to a
new version perhaps, without a refused connection.
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
    parser.add_argument("--check-handover", type=int, help=argparse.SUPPRESS)


def serve(wanted: frozenset[str]) -> int:
    """Run until stopped; returns the exit code. StartupError: its sentence on standard error and 1."""
    from relayproject.runtime.errors import StartupError
    from relayproject.runtime.supervisor import run

    try:
        return run(wanted)
    except StartupError as refusal:
        sys.stderr.write(f"serve: {refusal}\n")
        return 1


def check_handover(version: int) -> int:
    """0 if this program can take over from a running supervisor of the version (handover.py), with these settings."""
    from relayproject import settings
    from relayproject.runtime import handover, supervisor  # noqa: F401  it is what would be executed
    from relayproject.runtime.say import report
    from relayproject.validation import problems

    found = [str(problem) for problem in problems(settings)]
    if version != handover.VERSION:
        found.append("This version does not take over from the one that runs: restart instead.")
    if found:
        report(" ".join(found))
    return 1 if found else 0


def main(arguments: list[str]) -> int:
    """`manage.py serve ARGUMENT...`; returns the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relayproject.settings")
    parser = argparse.ArgumentParser(prog="manage.py serve", description=DESCRIPTION)
    add_arguments(parser)
    chosen = parser.parse_args(arguments)
    if chosen.check_handover is not None:
        return check_handover(chosen.check_handover)
    return serve(chosen.roles)
