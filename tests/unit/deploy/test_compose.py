"""The compose file: the specification, what it mounts and names, and the configuration of HAProxy that is made."""

import re
import shutil
import subprocess
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from relayproject import settings
from replication.balancer import Balancer, Instance
from replication.haproxy import configuration
from tests.acceptance.relay_process import STOP_SECONDS
from tests.unit.deploy.kit import DEPLOY, ROOT, of_bytes, unknown_settings

FOLDER = DEPLOY / "compose"
FILE = FOLDER / "compose.yml"
OF_THE_RELAY = ("relay-1", "relay-2", "worker", "beat")
INSTALL = "apt-get install -y haproxy"
FILES_OF_A_THREAD, MOST_THREADS, OTHER_FILES = 3, 64, 100
"""Of HAProxy, which does not start with less: a poller and a pipe for each thread; listeners, checks, its socket."""


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


def services() -> dict[str, dict[str, Any]]:
    return dict(compose()["services"])


def validate(compose: dict[str, Any]) -> None:
    """Raises ValueError with what is wrong by the Compose Specification."""
    PyCompose.from_yaml(yaml.safe_dump(compose)).validate()  # references and merges are resolved


def test_it_follows_the_specification() -> None:
    validate(compose())


def test_the_specification_refuses_an_unknown_key() -> None:
    wrong = compose()
    wrong["services"]["valkey"]["helthcheck"] = {}
    with pytest.raises(ValueError, match="helthcheck"):
        validate(wrong)


def test_every_service_has_a_health_check_a_limit_and_a_version() -> None:
    lacking = {
        name: key
        for name, service in services().items()
        for key in ("healthcheck", "deploy", "restart", "image")
        if key not in service and not (key == "healthcheck" and name in ("relay-1", "relay-2"))  # the image has it
    }
    assert lacking == {}
    images = {service["image"] for service in services().values()} - {"relay"}
    assert [image for image in images if not re.search(r":v?\d+(\.\d+)?", image)] == []


def test_no_log_of_a_container_and_no_history_of_prometheus_fills_the_disk() -> None:
    bounds = {name: (service.get("logging") or {}).get("options") for name, service in services().items()}
    assert [
        name for name, options in bounds.items() if not (options and {"max-size", "max-file"} <= set(options))
    ] == []
    assert any(word.startswith("--storage.tsdb.retention.size=") for word in services()["prometheus"]["command"])


def test_only_settings_that_exist_are_set() -> None:
    names = {name for one in OF_THE_RELAY for name in services()[one]["environment"]}
    assert unknown_settings(names) == set()


def test_the_example_of_the_environment_has_every_variable_without_a_default() -> None:
    wanted = set(re.findall(r"\$\{(\w+):\?\}", FILE.read_text()))
    given = set(re.findall(r"^(\w+)=", (FOLDER / "example.env").read_text(), re.M))
    assert wanted <= given


def test_every_file_that_is_mounted_exists() -> None:
    mounts = [each.split(":")[0] for service in services().values() for each in service.get("volumes", ())]
    assert [each for each in mounts if each.startswith(".") and not (FOLDER / each).exists()] == []
    assert {each for each in mounts if not each.startswith(".")} == set(compose()["volumes"])


def test_the_relay_trusts_haproxy_alone_and_is_measured_by_prometheus_alone() -> None:
    place = {name: services()[name]["networks"]["relay"]["ipv4_address"] for name in ("haproxy", "prometheus")}
    environment = services()["relay-1"]["environment"]
    assert environment["RELAY_TRUSTED_PROXIES"] == place["haproxy"]
    assert environment["RELAY_METRICS_ALLOW"].split(",")[1:] == [place["prometheus"]]


def fixed_addresses() -> dict[str, str]:
    return {
        name: joined["relay"]["ipv4_address"]
        for name, service in services().items()
        if isinstance(joined := service.get("networks"), dict) and "ipv4_address" in (joined["relay"] or {})
    }


def test_no_other_container_is_given_an_address_that_is_fixed() -> None:
    (network,) = compose()["networks"]["relay"]["ipam"]["config"]
    given, fixed = IPv4Network(network["ip_range"]), fixed_addresses()
    assert {"haproxy", "prometheus"} <= set(fixed)
    assert len(set(fixed.values())) == len(fixed)
    assert given.subnet_of(IPv4Network(network["subnet"]))
    assert not any(ip_address(address) in given for address in fixed.values())


def test_instances_keep_the_addresses_that_haproxy_has_looked_up() -> None:
    named = re.findall(r"^    server (\S+) \1:", (FOLDER / "haproxy.cfg").read_text(), re.M)
    assert named == list(OF_THE_RELAY[:2])
    assert set(named) <= set(fixed_addresses())


def test_prometheus_finds_the_instances_by_their_aliases() -> None:
    aliases = {alias for one in OF_THE_RELAY[:2] for alias in services()[one]["networks"]["relay"]["aliases"]}
    (job,) = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert {target.split(":")[0] for target in job["static_configs"][0]["targets"]} == aliases


def test_prometheus_has_the_rules_where_its_configuration_looks_for_them() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["rule_files"]
    mounted = {each.split(":")[1] for each in services()["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{rule}" for rule in rules} <= mounted


def test_grafana_has_the_dashboard_where_its_provisioning_looks_for_it() -> None:
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/relay.yml").read_text())["providers"]
    mounted = {each.split(":")[1] for each in services()["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounted


def test_the_relay_has_the_time_that_its_stop_takes() -> None:
    leaving = {int(services()[one]["environment"]["RELAY_LEAVE_SECONDS"]) for one in OF_THE_RELAY}
    granted = {int(services()[one]["stop_grace_period"].removesuffix("s")) for one in OF_THE_RELAY}
    assert min(granted) > max(leaving) + STOP_SECONDS


def test_filters_of_clients_have_a_quarter_of_the_memory_of_an_instance() -> None:
    environment, resources = services()["relay-1"]["environment"], services()["relay-1"]["deploy"]["resources"]
    (workers,) = re.findall(r"^\$\{RELAY_WORKERS:-(\d+)\}$", environment["RELAY_WORKERS"])
    most = int(workers) * environment.get("RELAY_FILTER_BYTES", settings.RELAY_FILTER_BYTES)
    assert most <= of_bytes(resources["limits"]["memory"]) // 4


def test_haproxy_has_the_configuration_that_the_command_makes() -> None:
    made = configuration(
        Balancer(
            tuple(Instance(name, name, 8000) for name in OF_THE_RELAY[:2]),
            bind="0.0.0.0:8080",
            operators_bind="0.0.0.0:8404",
            user="",  # the image starts it as its own
            stats_socket="/tmp/admin.sock",
            connections=20_000,
        )
    )
    assert (FOLDER / "haproxy.cfg").read_text() == made
    assert services()["haproxy"]["ulimits"]["nofile"] >= 2 * 20_000 + FILES_OF_A_THREAD * MOST_THREADS + OTHER_FILES


def test_haproxy_has_nothing_to_say_against_it(tmp_path: Path) -> None:
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    if haproxy is None:
        pytest.skip(f"HAProxy is not installed: {INSTALL}")
    text = (FOLDER / "haproxy.cfg").read_text()
    (tmp_path / "haproxy.cfg").write_text(re.sub(r"(relay-\d) relay-\d:", r"\1 127.0.0.1:", text))
    done = subprocess.run([haproxy, "-c", "-f", tmp_path / "haproxy.cfg"], check=False, capture_output=True, text=True)
    assert (done.returncode, "WARNING" in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize("script", sorted(ROOT.glob("deploy/**/*.sh")), ids=lambda path: path.name)
def test_scripts_are_shell(script: Path) -> None:
    assert subprocess.run(["sh", "-n", script], check=False, capture_output=True, text=True).stderr == ""
