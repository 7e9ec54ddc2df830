"""The Dockerfile: its linter, the files that it copies, static files, and the health check."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.unit.deploy.kit import DEPLOY, ROOT

DOCKERFILE = DEPLOY / "docker/Dockerfile"
HEALTHCHECK = DEPLOY / "docker/healthcheck.py"
PACKAGES = ("analytics", "relay", "relayproject", "replication", "templates")


def copied() -> list[tuple[str, str]]:
    """What is copied from the repository into the image, and where to."""
    lines = re.findall(r"^COPY (?!--from)(.+) (\S+)$", DOCKERFILE.read_text(), re.M)
    return [(source, target) for sources, target in lines for source in sources.split()]


def reaches_the_build(path: str) -> bool:
    """Whether .dockerignore lets it through; the last rule that matches decides."""
    let = True
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = rule.removeprefix("!")
        if rule and not rule.startswith("#") and (fnmatch(path, pattern) or path.startswith(f"{pattern}/")):
            let = rule.startswith("!")
    return let


def test_the_linter_has_nothing_against_it() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_all_that_is_copied_exists_and_reaches_the_build() -> None:
    sources = [source for source, _ in copied()]
    assert {*PACKAGES, "manage.py", "requirements.txt", "constraints.txt"} <= set(sources)
    assert [source for source in sources if not (ROOT / source).exists() or not reaches_the_build(source)] == []


@pytest.mark.parametrize("path", ["var/secret_key", ".git/config", "deploy/compose/.env", ".venv/bin/python"])
def test_secrets_and_data_never_reach_the_build(path: str) -> None:
    assert not reaches_the_build(path)


def test_it_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (\S+)$", DOCKERFILE.read_text(), re.M) == ["10001:10001"]


def test_what_is_copied_is_enough_for_static_files_and_commands(tmp_path: Path) -> None:
    for source, target in copied():
        place = tmp_path / (source.rpartition("/")[2] if target == "./" else target)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)
    environment = {"PATH": os.environ["PATH"], "RELAY_DATA_DIR": str(tmp_path / "var"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60)
    assert (tmp_path / "staticfiles/relay/front.js").exists()
    assert (tmp_path / "staticfiles/admin").is_dir()


class Answer(BaseHTTPRequestHandler):
    """Every request gets the status of the server."""

    def do_GET(self) -> None:
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Answer) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening
        listening.shutdown()


def health(*arguments: str, port: int = 1) -> int:
    command: list[str | Path] = [sys.executable, HEALTHCHECK, *arguments]
    environment = {"RELAY_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}  # which Docker may pass on
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


@pytest.mark.parametrize("status, code", [(200, 0), (503, 1)])
def test_an_instance_is_healthy_while_it_answers(server: HTTPServer, status: int, code: int) -> None:
    server.status = status  # type: ignore[attr-defined]
    assert health("web", port=server.server_port) == code


def test_an_instance_that_does_not_listen_is_not_healthy() -> None:
    assert health("web") == 1


def test_jobs_are_healthy_while_their_process_runs() -> None:
    mark = f"of-test-{os.getpid()}"
    assert health(mark) == 1
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], env={"RELAY_PROCESS": mark}, stdin=subprocess.PIPE)
    try:
        assert health(mark) == 0
    finally:
        sleeper.kill()
        sleeper.communicate()
