"""Whether the container does its work: `healthcheck.py web|jobs|beat`; exit code 0 or 1, and a sentence.

`web`: a worker answers /health. `jobs`, `beat`: the process of `serve` runs. Hung processes are `serve`'s to replace.
"""

import os
import sys
import urllib.request
from pathlib import Path

SECONDS = 4.0


def answers() -> bool:
    """Whether /health is answered with 200 on the port of this container."""
    port = os.environ.get("RELAY_PORT") or "8000"
    # A container may be given the http_proxy of its host.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}/health", timeout=SECONDS) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def runs(process: str) -> bool:
    """Whether a process of this user has RELAY_PROCESS=`process`, which the supervisor gives to its children."""
    wanted = f"RELAY_PROCESS={process}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in environment.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


def main(arguments: list[str]) -> int:
    """The exit code."""
    what = arguments[0] if arguments else "web"
    if answers() if what == "web" else runs(what):
        return 0
    print(f"{what} does not answer" if what == "web" else f"no process {what} runs")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
