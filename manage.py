#!/usr/bin/env python
"""The project's commands: `manage.py serve` starts a relay, `manage.py help` lists the others."""

import os
import sys


def main() -> None:
    """Run the command of sys.argv."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relayproject.settings")
    if sys.argv[1:2] == ["serve"]:  # without Django, so that the supervisor is small and starts fast
        from relayproject.runtime.command import main as serve

        sys.exit(serve(sys.argv[2:]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
