"""The units: no unknown key, few rights, time for the drain, and roles that exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relayproject.management.commands.roll import START_SECONDS
from relayproject.runtime.command import roles
from tests.acceptance.relay_process import STOP_SECONDS
from tests.unit.deploy.kit import DEPLOY, unknown_settings

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
INSTALL = "apt-get install -y systemd"
MOST_DRAIN_SECONDS = 300
"""Of RELAY_DRAIN_SECONDS."""
EXPOSURE = 15
"""In tenths: at most 1.5 of 10, by systemd's own measure."""


@pytest.fixture
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip(f"systemd-analyze is not installed: {INSTALL}")
    return program


def runnable(unit: Path, folder: Path, old: str = "", new: str = "") -> Path:
    """A copy whose program and folder exist on this machine."""
    text = unit.read_text().replace("/opt/relay/.venv/bin/python", sys.executable)
    copy = folder / unit.name
    copy.write_text(text.replace("WorkingDirectory=/opt/relay", "WorkingDirectory=/").replace(old, new or old))
    return copy


def verify(analyze: str, unit: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [analyze, "verify", "--recursive-errors=yes", "--man=no", unit]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_unit(analyze: str, unit: Path, tmp_path: Path) -> None:
    done = verify(analyze, runnable(unit, tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_key_is_found(analyze: str, tmp_path: Path) -> None:
    unit = runnable(UNITS[0], tmp_path, "ProtectClock=", "ProtectClok=")
    assert verify(analyze, unit).returncode != 0


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_unit_has_few_rights(analyze: str, unit: Path, tmp_path: Path) -> None:
    copy = runnable(unit, tmp_path)
    command: list[str | Path] = [analyze, "security", "--offline=yes", f"--threshold={EXPOSURE}", "--no-pager", copy]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_drain_has_its_time_and_reaches_the_supervisor_alone(unit: Path) -> None:
    text = unit.read_text()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.M)
    assert int(seconds) > STOP_SECONDS
    assert "KillMode=mixed" in text.splitlines()


def test_a_reload_has_the_time_of_the_longest_roll() -> None:
    (seconds,) = re.findall(r"^TimeoutStartSec=(\d+)$", (DEPLOY / "systemd/relay.service").read_text(), re.M)
    assert int(seconds) >= START_SECONDS + 2 * MOST_DRAIN_SECONDS


def test_the_units_together_have_every_role() -> None:
    named = [re.findall(r"--roles (\S+)$", unit.read_text(), re.M) for unit in UNITS]
    assert frozenset[str]().union(*(roles(text) for (text,) in named)) == {"web", "worker", "beat", "migrate"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_settings_that_are_set_exist(unit: Path) -> None:
    assert unknown_settings(set(re.findall(r"^Environment=(\w+)=", unit.read_text(), re.M))) == set()
