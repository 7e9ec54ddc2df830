"""PostgreSQL under Patroni, which starts it, promotes a replica when the primary is gone, and brings the old one back.

Settings as measured: a killed primary is replaced within 3 s, a lost machine after the leader's ttl of 20 s, the least
that Patroni allows. `quorum` keeps one of the replicas synchronous, and never promotes another one.
"""

import json
import sys
from importlib.util import find_spec
from typing import Any

from relayproject.runtime.cluster import etcd
from relayproject.runtime.cluster.part import HOST, Kind, Part
from relayproject.runtime.cluster.postgres import ACCESS, PARAMETERS
from relayproject.runtime.cluster.site import USER, Site, write_config
from relayproject.runtime.postgres import binaries

INSTALL = f".venv/bin/pip install -r requirements-cluster.txt -c constraints.txt; {etcd.INSTALL}"
FAILOVER = {"ttl": 20, "loop_wait": 1, "retry_timeout": 9, "primary_start_timeout": 0, "failsafe_mode": True}


def is_installed() -> bool:
    """Whether Patroni and etcd are there."""
    return find_spec("patroni") is not None and etcd.program() is not None


def part(site: Site, number: int) -> Part:
    """patroni-`number`; the PostgreSQL under it is postgres-`number`."""
    name = f"patroni-{number}"
    return Part(
        name=name,
        kind=Kind.PATRONI,
        argv=(sys.executable, "-m", "patroni", str(site.data(name) / "patroni.yml")),
        folder=site.data(name),
        log=site.log(name),
        port=site.options.patroni_port(number),
        run_as=site.run_as.launch,
    )


def configure(site: Site, number: int) -> None:
    """Write patroni.yml, in JSON, which is YAML as well."""
    text = json.dumps(_configuration(site, number), indent=1)
    write_config(site.data(f"patroni-{number}") / "patroni.yml", text + "\n", site.run_as.owner)


def _configuration(site: Site, number: int) -> dict[str, Any]:
    name, port = f"postgres-{number}", site.options.postgres_port(number)
    login = {"username": USER, "password": site.password}
    rest = f"{HOST}:{site.options.patroni_port(number)}"
    synchronous = "quorum" if site.options.replicas else "off"
    return {
        "scope": "relay",
        "name": name,
        "log": {"level": "INFO"},
        "restapi": {"listen": rest, "connect_address": rest, "authentication": login},
        "etcd3": {"hosts": etcd.addresses(site)},
        "bootstrap": {
            "dcs": {
                **FAILOVER,
                "maximum_lag_on_failover": 16 * 2**20,
                "synchronous_mode": synchronous,
                "synchronous_mode_strict": bool(site.options.replicas),
                "synchronous_node_count": 1,
                "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": PARAMETERS},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
        },
        "postgresql": {
            "listen": f"{HOST}:{port}",
            "connect_address": f"{HOST}:{port}",
            "data_dir": str(site.data(name)),
            "bin_dir": str(binaries()),
            "pgpass": str(site.data(f"patroni-{number}") / "pgpass"),
            "authentication": {"superuser": login, "replication": login, "rewind": login},
            "pg_hba": list(ACCESS),
            "parameters": {"unix_socket_directories": ""},
        },
    }
