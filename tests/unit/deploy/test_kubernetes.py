"""The kustomize base and its example: every object by the schema of its kind, and names that fit each other."""

import re
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from analytics.exposition import METRICS
from relayproject import settings
from tests.acceptance.relay_process import STOP_SECONDS
from tests.unit.deploy.crds import KINDS
from tests.unit.deploy.kit import DEPLOY, documents, of_bytes, unknown_settings

FOLDER = DEPLOY / "kubernetes"
FILES = sorted((*FOLDER.glob("base/*.yaml"), *FOLDER.glob("example/*.yaml")))
OBJECTS = [(f"{file.parent.name}/{file.name}", document) for file in FILES for document in documents(file)]
VERSION = "1.33"
METRIC = "nostr_active_websockets"


def validate(document: dict[str, Any]) -> None:
    """Raises an error for an unknown kind or field, or for a value that its field does not take."""
    schema = KINDS.get((document["apiVersion"], document["kind"]))
    if schema is None:
        kubernetes_validate.validate(document, VERSION, strict=True)
    else:
        jsonschema.validate(document, schema)


def named(kind: str, name: str = "") -> dict[str, Any]:
    (found,) = [each for _, each in OBJECTS if each["kind"] == kind and name in ("", each["metadata"]["name"])]
    return found


def deployments() -> list[dict[str, Any]]:
    return [each for _, each in OBJECTS if each["kind"] == "Deployment"]


def pod(document: dict[str, Any]) -> dict[str, Any]:
    return dict(document["spec"]["template"]["spec"])


def container(document: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(document)["containers"]
    return dict(only)


@pytest.mark.parametrize(
    "document", [each for _, each in OBJECTS], ids=[f"{at}:{each['kind']}" for at, each in OBJECTS]
)
def test_the_object_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        validate({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Clutser", "metadata": {"name": "a"}})


@pytest.mark.parametrize("kind, field", [("Cluster", "switchoverDelai"), ("Deployment", "replica")])
def test_an_unknown_field_is_refused(kind: str, field: str) -> None:
    document = named(kind, "relay-db" if kind == "Cluster" else "relay")
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validate({**document, "spec": {**document["spec"], field: 1}})


@pytest.mark.parametrize("folder", ["base", "example"])
def test_the_kustomization_lists_every_file(folder: str) -> None:
    (listed,) = documents(FOLDER / folder / "kustomization.yaml")
    there = {path.name for path in (FOLDER / folder).glob("*.yaml")} - {"kustomization.yaml"}
    assert {name for name in listed["resources"] if not name.startswith("..")} == there


@pytest.mark.parametrize("document", deployments(), ids=lambda each: each["metadata"]["name"])
def test_a_pod_has_few_rights_probes_and_limits(document: dict[str, Any]) -> None:
    one = container(document)
    assert pod(document)["securityContext"]["runAsNonRoot"] is True
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"livenessProbe", "resources"} <= set(one)


@pytest.mark.parametrize("document", deployments(), ids=lambda each: each["metadata"]["name"])
def test_the_service_named_relay_sets_no_variable_that_is_a_setting(document: dict[str, Any]) -> None:
    assert pod(document)["enableServiceLinks"] is False


@pytest.mark.parametrize("document", deployments(), ids=lambda each: each["metadata"]["name"])
def test_the_drain_has_its_time(document: dict[str, Any]) -> None:
    values = {each["name"]: each.get("value", "") for each in container(document)["env"]}
    spread = sum(int(values.get(name, "0")) for name in ("RELAY_LEAVE_SECONDS", "RELAY_DRAIN_SECONDS"))
    assert pod(document)["terminationGracePeriodSeconds"] > spread + STOP_SECONDS


def test_only_settings_that_exist_are_set() -> None:
    names = {each["name"] for document in deployments() for each in container(document)["env"]}
    for folder in ("base", "example"):
        (one,) = documents(FOLDER / folder / "kustomization.yaml")
        names |= {literal.split("=")[0] for made in one["configMapGenerator"] for literal in made["literals"]}
    assert unknown_settings(names - {"DATABASE_PASSWORD", "VALKEY_PASSWORD"}) == set()


def test_filters_of_clients_have_a_quarter_of_the_memory_of_a_pod() -> None:
    (base,) = documents(FOLDER / "base/kustomization.yaml")
    values = dict(literal.split("=", 1) for literal in base["configMapGenerator"][0]["literals"])
    most = int(values["RELAY_WORKERS"]) * int(values.get("RELAY_FILTER_BYTES", settings.RELAY_FILTER_BYTES))
    assert most <= of_bytes(container(named("Deployment", "relay"))["resources"]["limits"]["memory"]) // 4


def test_every_key_of_the_secret_is_in_its_example() -> None:
    text = "".join(path.read_text() for path in FILES)
    wanted = set(re.findall(r"\{name: relay, key: ([a-z-]+)\}", text))
    given = set(re.findall(r"^([a-z-]+)=", (FOLDER / "example/secret.env.example").read_text(), re.M))
    assert wanted == given


def test_pods_are_scaled_by_a_metric_that_exists_and_that_the_adapter_serves() -> None:
    metrics = named("HorizontalPodAutoscaler")["spec"]["metrics"]
    (asked,) = [each["pods"]["metric"]["name"] for each in metrics if each["type"] == "Pods"]
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert asked == rule["name"]["as"] == METRIC
    assert rule["seriesQuery"].startswith(f"{METRIC}{{")
    assert {"namespace", "pod"} == set(rule["resources"]["overrides"])
    assert METRIC in {metric.name for metric in METRICS}


@pytest.mark.parametrize("kind", ["PodDisruptionBudget", "Service", "PodMonitor"])
def test_what_selects_the_instances_selects_their_labels(kind: str) -> None:
    selector = named(kind, "relay")["spec"]["selector"]
    labels = named("Deployment", "relay")["spec"]["template"]["metadata"]["labels"]
    assert selector.get("matchLabels", selector).items() <= labels.items()


def test_prometheus_names_the_job_as_the_alerts_do() -> None:
    label = named("PodMonitor")["spec"].get("jobLabel", "")
    labels = named("Deployment", "relay")["spec"]["template"]["metadata"]["labels"]
    asked = set(re.findall(r'job="([^"]+)"', (DEPLOY / "prometheus/alerts.yml").read_text()))
    assert asked == {labels.get(label)}


def test_every_pod_is_reached_by_a_policy_and_the_relay_by_no_name_that_is_none() -> None:
    policies = [each["spec"]["podSelector"] for _, each in OBJECTS if each["kind"] == "NetworkPolicy"]
    components = {each["metadata"]["labels"]["app.kubernetes.io/component"] for each in deployments()}
    (egress,) = [each["matchExpressions"][0]["values"] for each in policies if "matchExpressions" in each]
    assert set(egress) == components
    assert {} in policies


def test_the_database_keeps_acknowledged_events_and_has_connections_for_all_instances() -> None:
    cluster = named("Cluster")["spec"]
    synchronous = cluster["postgresql"]["synchronous"]
    assert (synchronous["dataDurability"], synchronous["failoverQuorum"]) == ("required", True)
    assert cluster["switchoverDelay"] < 3600
    instances = named("HorizontalPodAutoscaler")["spec"]["maxReplicas"] + 1
    of_two_workers = 2 * (settings.RELAY_PRIMARY_POOL_MAX + 3 + settings.RELAY_DJANGO_THREADS) + 10
    assert int(cluster["postgresql"]["parameters"]["max_connections"]) > instances * of_two_workers + 20


def test_the_addresses_of_the_servers_are_names_of_services() -> None:
    environment = {each["name"]: each.get("value", "") for each in container(named("Deployment", "relay"))["env"]}
    hosts = {name: re.split(r"[/:?]", environment[name].split("@")[1])[0] for name in environment if "_URL" in name}
    database = named("Cluster")["metadata"]["name"]
    assert hosts == {
        "DATABASE_URL": f"{database}-rw",
        "REPLICA_URLS": f"{database}-ro",
        "REDIS_URL": named("Service", "relay-valkey")["metadata"]["name"],
    }
