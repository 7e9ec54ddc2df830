"""Metrics, their document, the alerts, the runbooks and the dashboard name the same things."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import django_prometheus.middleware
import pytest
from prometheus_client import REGISTRY

import analytics.exposition_tasks  # noqa: F401  declares its metrics
import replication.metrics
import replication.reconcile.metrics  # noqa: F401  as well
from analytics import exposition_jobs
from analytics.exposition import METRICS
from analytics.exposition_page import LEFT_OUT
from replication.exposition import GAUGES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/operations/metrics.md"
RUNBOOKS = ROOT / "docs/operations/alerts.md"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
CASES = ROOT / "deploy/prometheus/alerts_test.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboards/relay.json"
INSTALL = "apt-get install -y prometheus"

ROW = re.compile(r"^\| `([a-z_]+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
NAME = re.compile(r"\b(?:nostr|relay|django)_[a-z0-9_]+")
PARTS = ("_bucket", "_sum", "_count")

Named = dict[str, tuple[str, frozenset[str]]]
"""Type and labels of each metric, by name."""


def documented() -> Named:
    rows = ROW.findall(DOCUMENT.read_text())
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


@cache
def existing() -> Named:
    found: Named = {each.name: (each.kind.partition("_")[0], frozenset(each.labels)) for each in METRICS}
    found |= {gauge.name: ("gauge", frozenset(gauge.labels)) for gauge in GAUGES}
    found |= {name: ("gauge", frozenset(exposition_jobs.LABELS)) for name in exposition_jobs.GAUGES}
    django_prometheus.middleware.Metrics.get_instance()
    for collector in set(REGISTRY._collector_to_names):
        name, kind = getattr(collector, "_name", ""), getattr(collector, "_type", "")
        if name and not name.startswith(LEFT_OUT):
            labels = frozenset(getattr(collector, "_labelnames", ()))
            found[f"{name}_total" if kind == "counter" else name] = (kind, labels)
    return found


def test_the_document_lists_every_metric_with_its_type_and_labels_and_no_other() -> None:
    assert documented() == existing()


def unknown(query: str) -> set[str]:
    """Names of metrics in a query that do not exist."""
    names = set(NAME.findall(re.sub(r'"[^"]*"', '""', query)))
    whole = {name.removesuffix(part) for name in names for part in PARTS if name.endswith(part)}
    histograms = {name for name in whole if existing().get(name, ("",))[0] == "histogram"}
    parts = {name + part for name in histograms for part in PARTS}
    return names - set(existing()) - parts


def queries() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_every_query_of_the_dashboard_names_metrics_that_exist() -> None:
    found = list(queries())

    assert len(found) > 40
    assert {query: missing for query in found if (missing := unknown(query))} == {}


def test_every_metric_of_the_relay_is_on_the_dashboard_or_in_an_alert() -> None:
    named = set(NAME.findall(" ".join(queries()) + ALERTS.read_text()))
    shown = named | {name.removesuffix(part) for name in named for part in PARTS}

    # The position is a number that no graph makes plainer.
    assert {name for name in existing() if name.startswith(("nostr_", "relay_"))} - shown == {"relay_position"}


def test_panels_of_the_dashboard_have_ids_and_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(places)) == len(places)


def test_alerts_name_metrics_that_exist() -> None:
    expressions = re.sub(r"(?m)^ +(summary|runbook_url): .*$", "", ALERTS.read_text())

    assert unknown(expressions) == set()


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", ALERTS.read_text())


def test_every_alert_links_to_its_section_of_the_runbooks_and_there_is_no_other_section() -> None:
    links = re.findall(r"runbook_url: https://\S+/docs/operations/alerts\.md#(\w+)", ALERTS.read_text())
    sections = re.findall(r"(?m)^## (\w+)$", RUNBOOKS.read_text())

    assert links == [name.lower() for name in alerts()]
    assert sections == alerts()


def test_every_section_says_symptom_what_to_look_at_and_what_to_do() -> None:
    _, *sections = re.split(r"(?m)^## ", RUNBOOKS.read_text())

    for section in sections:
        assert re.findall(r"(?m)^\*\*(Symptom|Look at|Do)\.\*\*", section) == ["Symptom", "Look at", "Do"]


def test_every_alert_has_a_case_that_fires_and_one_that_is_quiet() -> None:
    cases = CASES.read_text()

    assert re.findall(r"- name: '(\w+) fires'", cases) == alerts()
    assert set(re.findall(r"- name: '(\w+) is quiet", cases)) == set(alerts())


def promtool(*arguments: str | Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(f"promtool is not installed: {INSTALL}")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_and_keep_quiet_as_their_cases_say() -> None:
    promtool("test", "rules", CASES)


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    promtool("check", "config", ROOT / "deploy/prometheus/prometheus.yml")


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    variables = {"$__rate_interval": "5m", "$instance": ".*", "$job": "relay"}
    rules = []
    for number, query in enumerate(queries()):
        filled = query
        for variable, value in variables.items():
            filled = filled.replace(variable, value)
        rules.append({"record": f"query_{number}", "expr": filled})
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # YAML is a superset of JSON

    promtool("check", "rules", file)
