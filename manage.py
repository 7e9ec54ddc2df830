#!/usr/bin/env python
"""The project's commands: `manage.py serve` starts a relay, `manage.py help` lists the others.

Exit codes beside those of a command: 130 after Ctrl-C, 141 when the reader of standard output has gone (`... | head`).
"""

import contextlib
import os
import sys

INTERRUPTED = 128 + 2  # as a shell reports SIGINT
NO_READER = 128 + 13  # SIGPIPE


def main() -> None:
    """Run the command of sys.argv."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relayproject.settings")
    try:
        try:
            run(sys.argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout.fileno())
        sys.exit(NO_READER)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        sys.exit(INTERRUPTED)


def run(argv: list[str]) -> None:
    """Run a command; exits with one sentence when it needs the database and that does not answer."""
    if argv[1:2] == ["serve"]:  # without Django, so that the supervisor is small and starts fast
        from relayproject.runtime.command import main as serve

        sys.exit(serve(argv[2:]))
    if argv[1:2] == ["cluster"]:
        from relayproject.runtime.cluster.command import main as cluster

        sys.exit(cluster(argv[2:]))
    try:
        from django.core.management import execute_from_command_line
        from django.db import OperationalError
    except ModuleNotFoundError as missing:
        sys.exit(f"manage.py: {missing}. `make run` installs the packages: use .venv/bin/python manage.py.")

    try:
        execute_from_command_line(argv)
    except OperationalError:
        explain_database(" ".join(argv[:2]))
        raise


def explain_database(command: str) -> None:
    """Exit with the reason if the database does not answer."""
    from relayproject.runtime.database_check import require_database
    from relayproject.runtime.errors import StartupError

    try:
        require_database()
    except StartupError as refusal:
        sys.exit(f"{command}: {refusal}")


def silence(descriptor: int) -> None:
    """Have what is still buffered go nowhere, so that the end of the process does not fail on it."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


if __name__ == "__main__":
    main()
