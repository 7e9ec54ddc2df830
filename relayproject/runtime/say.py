"""Messages of the supervisor and its processes on standard error, before a logger is set up."""

import contextlib
import sys
import time

from relay.logs import Formatter, safe


def say(who: str, text: str) -> None:
    """Write one line, `who: text`, or a JSON object with LOG_FORMAT=json, as log lines are."""
    from relayproject import settings

    if settings.LOG_FORMAT == "json":
        formatter = Formatter("json", settings.RELAY_PROCESS, settings.RELAY_INSTANCE)
        line = formatter.line(time.time(), "INFO", who, text)
    else:
        line = f"{who}: {safe(text)}"
    with contextlib.suppress(OSError):  # its reader has gone: no reason to stop
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def report(text: str) -> None:
    """Say it as the supervisor."""
    say("serve", text)
