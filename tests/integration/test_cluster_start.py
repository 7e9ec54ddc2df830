"""A start of a cluster that cannot end well."""

import socket
from pathlib import Path

import pytest

from relayproject.runtime.cluster import probes, start, valkey
from relayproject.runtime.cluster.cluster import Cluster
from relayproject.runtime.cluster.options import Options, Valkey
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.starter import Starter
from relayproject.runtime.cluster.state import load, new_state, save
from relayproject.runtime.cluster.stop import stop
from relayproject.runtime.errors import StartupError
from relayproject.runtime.run_as import choose_run_as
from tests.acceptance.cluster_command import free_base_port


def test_a_start_that_fails_stops_what_it_started_and_names_the_port_that_is_taken(tmp_path: Path) -> None:
    said: list[str] = []
    cluster = Cluster(tmp_path, said.append)
    options = Options(replicas=0, base_port=free_base_port())
    save(tmp_path, new_state(options))
    with (
        socket.create_server(("127.0.0.1", options.valkey_port(1))),
        pytest.raises(StartupError, match=f"valkey-1 cannot listen on 127.0.0.1:{options.valkey_port(1)}"),
    ):
        cluster.up({})
    state = load(tmp_path)
    assert state is not None
    assert ("starting postgres-1" in said, state.running, cluster.status().exit_code) == (True, {}, 3)


def test_a_valkey_cluster_that_was_half_made_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its servers know some of each other; without more all of them would be masters, and none a replica."""
    state = new_state(Options(valkey=Valkey.CLUSTER, base_port=free_base_port()))
    site = Site(tmp_path, state.options, "key", state.password, choose_run_as())
    starter = Starter(site, state, lambda _: None)
    servers = valkey.members(site)
    names = [part.name for part in valkey.parts(site)]
    try:
        with monkeypatch.context() as patched:
            patched.setattr(start, "JOIN_SECONDS", 0.0)
            with pytest.raises(StartupError, match="Valkey cluster has not ended after 0 s"):
                start._start_valkey(starter)
        probes.valkey_client(site, servers[0].port).cluster("ADDSLOTSRANGE", 0, 16_383)
        stop(site, state, names, lambda _: None)
        start._start_valkey(starter)
        roles = sorted(probes.ask(site, part).role for part in servers)
        assert roles == ["master"] * 3 + ["replica"] * 3
    finally:
        stop(site, state, names, lambda _: None)
