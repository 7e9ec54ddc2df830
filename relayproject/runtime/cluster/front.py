"""HAProxy in front of the instances, and Prometheus beside them, where they are installed."""

import hashlib
import json
from pathlib import Path

from relayproject import descriptors
from relayproject.runtime.cluster.part import HOST, Kind, Part, find_program
from relayproject.runtime.cluster.site import Site, write_config
from relayproject.runtime.errors import StartupError
from replication.haproxy import Balancer, Instance, configuration

ALERTS = Path(__file__).resolve().parents[3] / "deploy/prometheus/alerts.yml"
INSTALL = "apt-get install -y haproxy prometheus"
CONFIGURATION = "CLUSTER_CONFIGURATION"
"""A variable with a digest of the part's file, so that a changed file is a changed part."""

MOST_CONNECTIONS = 10_000
OTHER_FILES = 500
SOCKET_BYTES = 90
"""A Unix socket's path has 107; HAProxy adds its process id while it starts."""


def has_haproxy() -> bool:
    """Whether HAProxy is installed."""
    return find_program("haproxy") is not None


def has_prometheus() -> bool:
    """Whether Prometheus is installed."""
    return find_program("prometheus") is not None


def most_connections() -> int:
    """Connections of clients that the limit of open files allows HAProxy: it needs two files for each."""
    return max(100, min(MOST_CONNECTIONS, (descriptors.hard_limit() - OTHER_FILES) // 2))


def stats_socket(site: Site) -> Path:
    """Where HAProxy is asked for the states of the instances."""
    return site.folder / "haproxy.sock"


def haproxy(site: Site) -> Part:
    """The balancer."""
    file = site.data("haproxy") / "haproxy.cfg"
    argv = (find_program("haproxy") or "haproxy", "-db", "-f", str(file))
    settings = {CONFIGURATION: _digest(_haproxy_text(site))}
    return Part("haproxy", Kind.HAPROXY, argv, file.parent, site.log("haproxy"), site.options.public_port, settings)


def _haproxy_text(site: Site) -> str:
    """haproxy.cfg. All clients of this machine are one source, so there is no limit by source."""
    if len(str(stats_socket(site)).encode()) > SOCKET_BYTES:
        raise StartupError(f"The path of {site.folder} is too long for a Unix socket: choose another --folder.")
    options = site.options
    connections = most_connections()
    names = range(1, options.instances + 1)
    try:
        balancer = Balancer(
            tuple(Instance(f"relay-{number}", HOST, options.instance_port(number)) for number in names),
            bind=f"{HOST}:{options.public_port}",
            operators_bind=f"{HOST}:{options.operators_port}",
            user="",
            stats_socket=str(stats_socket(site)),
            connections=connections,
            source_connections=0,
            instance_connections=connections,
            requests=0,
            upgrades=0,
            check_seconds=1,
            slow_start_seconds=2,
        )
    except ValueError as error:
        raise StartupError(f"HAProxy cannot run in {site.folder}: {error}.") from error
    return configuration(balancer)


def prometheus(site: Site) -> Part:
    """Prometheus with the alerts of deploy/."""
    folder = site.data("prometheus")
    argv = (
        find_program("prometheus") or "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={HOST}:{site.options.prometheus_port}",
        "--storage.tsdb.retention.time=7d",
        "--log.level=warn",
    )
    name, settings = "prometheus", {CONFIGURATION: _digest(_prometheus_text(site))}
    return Part(name, Kind.PROMETHEUS, argv, folder, site.log(name), site.options.prometheus_port, settings)


def _prometheus_text(site: Site) -> str:
    """prometheus.yml, in JSON, which is YAML as well."""
    options = site.options
    jobs = [_job("relay", "/metrics", [options.instance_port(n) for n in range(1, options.instances + 1)])]
    if options.haproxy:
        jobs.append(_job("haproxy", "/haproxy/metrics", [options.operators_port]))
    text = {"global": {"scrape_interval": "5s"}, "rule_files": [str(ALERTS)], "scrape_configs": jobs}
    return json.dumps(text, indent=1) + "\n"


def configure(site: Site) -> None:
    """Write the files of what runs; raises StartupError when the folder's path does not do for a socket."""
    if site.options.haproxy:
        write_config(site.data("haproxy") / "haproxy.cfg", _haproxy_text(site), site.run_as.owner)
    if site.options.prometheus:
        write_config(site.data("prometheus") / "prometheus.yml", _prometheus_text(site), site.run_as.owner)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _job(name: str, path: str, ports: list[int]) -> dict[str, object]:
    targets = [f"{HOST}:{port}" for port in ports]
    return {"job_name": name, "metrics_path": path, "static_configs": [{"targets": targets}]}
