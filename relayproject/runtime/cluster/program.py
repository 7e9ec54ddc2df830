"""Runs a program of an engine to its end, for a bounded time."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from relayproject.runtime.errors import StartupError


def run(
    argv: Sequence[str],
    what: str,
    seconds: float,
    *,
    environment: Mapping[str, str],
    text: str = "",
    folder: Path = Path("/"),
) -> None:
    """Run `argv` with `text` as its input. `what`: the subject of the errors, such as "initdb".

    Raises StartupError with the last line of its output if it fails, and if it takes longer than `seconds`; then, as
    after Ctrl-C, it is killed with all that it has started.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise StartupError(f"{what} does not start: {error}.") from error
    with process:
        try:
            output, _ = process.communicate(text.encode(), seconds)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise StartupError(f"{what} has not ended after {seconds:g} s, and was killed.") from error
            raise
    if process.returncode != 0:
        lines = output.decode(errors="replace").strip().splitlines() or ["no error message"]
        raise StartupError(f"{what} failed: {lines[-1]}")
