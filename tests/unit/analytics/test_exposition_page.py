"""The text of /metrics, of a process alone and of a folder that several share."""

from pathlib import Path

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from analytics.exposition import METRICS
from analytics.exposition_files import Files
from analytics.exposition_page import page
from relay.services.worker_figures import NOTHING


def names(text: bytes) -> list[str]:
    return [line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")]


def test_a_process_that_was_started_by_hand_speaks_for_itself() -> None:
    shown = names(page(None))

    assert {metric.name for metric in METRICS} <= set(shown)
    assert len(shown) == len(set(shown))


def test_workers_of_a_folder_are_shown_together(tmp_path: Path) -> None:
    Files(tmp_path, "worker-1").write(replace(NOTHING, connections=3))
    Files(tmp_path, "worker-2").write(replace(NOTHING, connections=4))
    text = page(tmp_path).decode()
    found = {family.name: family.samples for family in text_string_to_metric_families(text)}

    assert found["nostr_active_websockets"][0].value == 7
    assert "python_info" not in found
