"""Patroni's example: its own validation, and the values that failover was measured with."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from relayproject.runtime.postgres import binaries
from tests.ports import free_port
from tests.unit.deploy.kit import DEPLOY

FILE = DEPLOY / "patroni/patroni.yml"


def validate(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Patroni's answer to the example on this machine: free ports, and the programs of its PostgreSQL.

    Patroni refuses 127.0.0.1.
    """
    for address in ("10.0.0.21:8008", "10.0.0.21:5432"):
        text = text.replace(address, f"127.0.0.2:{free_port()}")
    text = text.replace("/usr/lib/postgresql/15/bin", str(binaries()))
    text = text.replace("/var/lib/postgresql/15/relay", str(folder / "data"))
    (folder / "patroni.yml").write_text(text)
    command: list[str | Path] = [Path(sys.executable).with_name("patroni"), "--validate-config", folder / "patroni.yml"]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_patroni_accepts_it(tmp_path: Path) -> None:
    done = validate(tmp_path, FILE.read_text())
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_patroni_refuses_a_value_that_is_none(tmp_path: Path) -> None:
    assert validate(tmp_path, FILE.read_text().replace("ttl: 20", "ttl: soon")).returncode != 0


def test_an_acknowledged_event_is_on_two_servers_and_a_lost_machine_is_replaced_soon() -> None:
    dcs = yaml.safe_load(FILE.read_text())["bootstrap"]["dcs"]
    assert (dcs["synchronous_mode"], dcs["synchronous_mode_strict"]) == (True, True)
    assert (dcs["ttl"], dcs["loop_wait"], dcs["retry_timeout"], dcs["failsafe_mode"]) == (20, 1, 9, True)
    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"]


@pytest.mark.parametrize("role", ["superuser", "replication", "rewind"])
def test_patroni_gets_into_its_own_server_by_a_line_of_pg_hba(role: str) -> None:
    postgresql = yaml.safe_load(FILE.read_text())["postgresql"]
    user, database = postgresql["authentication"][role]["username"], "replication" if role == "replication" else "all"
    by_socket = {"superuser": "use_unix_socket", "replication": "use_unix_socket_repl"}.get(role, "")
    ways = {"local"} if postgresql.get(by_socket) else {"host", "hostssl"}
    lines = [line.split()[:3] for line in postgresql["pg_hba"]]
    assert [line for line in lines if line[0] in ways and line[1:] == [database, user]]
