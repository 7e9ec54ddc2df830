#!/usr/bin/env python
"""Runs the project's commands: `manage.py serve` starts a relay, `manage.py help` lists the rest."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relayproject.settings")
    if sys.argv[1:2] == ["serve"]:  # without Django: the supervisor must be small and quick
        from relayproject.runtime.command import main as serve

        sys.exit(serve(sys.argv[2:]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
