"""The whole relay over its WebSocket, two workers, measured by the load test that operators use.

Yardsticks: one coincurve verify for what is published, a bare picows echo for what is asked, a bare picows server that
sends frame by frame for what is delivered; all in the same run.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.acceptance.relay_process import RelayProcess
from tests.benchmarks import core
from tests.benchmarks.echo import echoes_and_frames
from tests.benchmarks.figure import Figure

ROOT = Path(__file__).resolve().parents[2]


def measure() -> list[Figure]:
    """Publish, ask and deliver; each on a relay with what the one before left in it."""
    verify = core.verify().yardstick_per_second
    echo, frames = echoes_and_frames()
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        relay = RelayProcess(Path(folder), workers=2, roles="web,migrate")
        relay.start()
        try:
            ingest = _load(relay.ws_url, "ingest", "--connections", "10", "--window", "50", "--events", "20000")
            query = _load(relay.ws_url, "query", "--connections", "8", "--duration", "16")
            fanout = _load(relay.ws_url, "fanout", "--subscribers", "200", "--events", "300", "--window", "50")
        finally:
            relay.destroy()
    return [
        _figure("server: events", ingest["figures"]["events"]["per_second"], "coincurve verify", verify),
        _figure("server: queries", query["figures"]["queries"]["geometric_mean_per_second"], "picows echo", echo),
        _figure("server: deliveries", fanout["figures"]["deliveries"]["per_second"], "picows frames", frames),
    ]


def _figure(name: str, measured: float, yardstick: str, per_second: float) -> Figure:
    return Figure(name, measured, yardstick, per_second, measured / per_second)


def _load(url: str, scenario: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, "manage.py", "loadtest", url, "--scenario", scenario, "--quiet", "--json", "-", *options]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=300)
    report: dict[str, Any] = json.loads(found.stdout)
    return report
