"""Debian's Prometheus for one test, with the real alerts, each of which fires as soon as its condition holds."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from relayproject.runtime.processes import bound_command
from tests.acceptance.relay_process import wait_for
from tests.ports import free_port

ALERTS = Path(__file__).resolve().parents[2] / "deploy/prometheus/alerts.yml"
INSTALL = "apt-get install -y prometheus"

CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: relay
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class PrometheusServer:
    """Runs in `with`, in a folder of the test's, and scrapes the relay on `relay_port`."""

    def __init__(self, folder: Path, relay_port: int) -> None:
        program = shutil.which("prometheus")
        if program is None:
            pytest.skip(f"Prometheus is not installed: {INSTALL}")
        self._program = program
        self._folder = folder
        self._address = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        rules = folder / "alerts.yml"
        rules.write_text(re.sub(r"(?m)^( +for): \w+$", r"\1: 0s", ALERTS.read_text()))
        (folder / "prometheus.yml").write_text(CONFIGURATION.format(rules=rules, port=relay_port))

    def __enter__(self) -> Self:
        command = [
            self._program,
            f"--config.file={self._folder}/prometheus.yml",
            f"--storage.tsdb.path={self._folder}/data",
            f"--web.listen-address={self._address}",
            "--log.level=warn",
        ]
        self._process = subprocess.Popen(
            bound_command(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=self._folder
        )
        wait_for(self._is_ready, "Prometheus", 30.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10.0)

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        return {
            alert["labels"]["alertname"]
            for alert in self._ask("/api/v1/alerts")["alerts"]
            if alert["state"] == "firing"
        }

    def value(self, query: str) -> float:
        """The one value that a query has now."""
        (result,) = self._ask(f"/api/v1/query?{urllib.parse.urlencode({'query': query})}")["result"]
        return float(result["value"][1])

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self._address}{path}", timeout=5.0) as answer:
            return json.loads(answer.read())["data"]

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Prometheus ended"
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=1.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
