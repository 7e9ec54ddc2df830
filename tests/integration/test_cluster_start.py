"""A start of a cluster that cannot end well."""

import socket
from pathlib import Path

import pytest

from relayproject.runtime.cluster.cluster import Cluster
from relayproject.runtime.cluster.options import Options
from relayproject.runtime.cluster.state import load
from relayproject.runtime.errors import StartupError
from tests.acceptance.cluster_command import free_base_port


def test_a_start_that_fails_stops_what_it_started_and_names_the_port_that_is_taken(tmp_path: Path) -> None:
    said: list[str] = []
    cluster = Cluster(tmp_path, said.append)
    base = free_base_port()
    with (
        socket.create_server(("127.0.0.1", Options(base_port=base).valkey_port(1))),
        pytest.raises(StartupError, match=f"valkey-1 cannot listen on 127.0.0.1:{base + 71}"),
    ):
        cluster.up({"failover": "plain", "replicas": 0, "base_port": base})
    state = load(tmp_path)
    assert state is not None
    assert ("starting postgres-1" in said, state.running, cluster.status().exit_code) == (True, {}, 3)
