"""`manage.py loadtest` as its operator meets it: scenarios against a whole relay, files, exit codes, Ctrl-C."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import nostr_sdk
import pytest
import pytest_asyncio

from tests.acceptance.relay_process import PROJECT, RelayProcess, clean_environment

COMMAND = [sys.executable, str(PROJECT / "manage.py"), "loadtest"]
# Measured speed is not asserted: on a busy machine every latency must pass.
PATIENT = ["--thresholds", "p95=60000"]
SMALL: Mapping[str, list[str]] = {
    "mixed": ["--connections=8", "--subscribers=4", "--event-rate=40", "--query-rate=8", "--duration=1.5"],
    "ingest": ["--connections=4", "--events=120", "--window=10", "--duration=5"],
    "query": ["--connections=3", "--events=60", "--duration=1.6"],
    "fanout": ["--subscribers=10", "--events=30", "--duration=5"],
    "idle": ["--connections=40", "--duration=0.5"],
}


def environment(folder: Path) -> dict[str, str]:
    """Without a database or a cache that could be reached."""
    return clean_environment(
        {"RELAY_DATA_DIR": str(folder / "none"), "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/no"}
    )


def loadtest(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )


def measured(folder: Path, url: str | list[str], scenario: str, *more: str) -> dict[str, Any]:
    """The JSON report of a small run, which must have passed."""
    ended = loadtest(
        folder,
        *([url] if isinstance(url, str) else url),
        f"--scenario={scenario}",
        *SMALL[scenario],
        *PATIENT,
        "--authors=20",
        "--json=-",
        *more,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def test_mixed_measures_events_queries_and_deliveries(relay: RelayProcess, tmp_path: Path) -> None:
    figures = measured(tmp_path, relay.ws_url, "mixed", "--processes=2")["figures"]

    assert (figures["connections"]["opened"], figures["connections"]["success_percent"]) == (8, 100.0)
    assert (figures["events"]["sent"], figures["events"]["accepted"]) == (60, 60)
    assert (figures["queries"]["asked"], figures["queries"]["answered"]) == (12, 12)
    assert (figures["deliveries"]["delivered"], figures["deliveries"]["lost"]) == (240, 0)
    assert len(figures["generator"]["cpu_percent_by_process"]) == 2


def test_a_run_over_two_addresses_writes_a_log_that_can_be_viewed(relay: RelayProcess, tmp_path: Path) -> None:
    other, log = f"ws://localhost:{relay.port}", tmp_path / "run.log"
    report = measured(tmp_path, [relay.ws_url, other], "mixed", "--processes=2", f"--log={log}", "--interval=0.5")
    assert report["run"]["urls"] == [relay.ws_url, other]
    assert (report["figures"]["deliveries"]["delivered"], report["figures"]["deliveries"]["lost"]) == (240, 0)

    viewed = loadtest(tmp_path, f"--view={log}")
    shown = viewed.stdout.splitlines()
    assert (viewed.returncode, shown[0]) == (
        0,
        f"mixed on {relay.ws_url}, {other}: 8 connections, 4 following, 1.5 s",
    )
    assert [line.split()[1] for line in shown[2:-1]][:2] == ["0.5", "1"]
    assert "all thresholds met" in shown[-1]


def test_ingest_publishes_all_its_events(relay: RelayProcess, tmp_path: Path) -> None:
    events = measured(tmp_path, relay.ws_url, "ingest", "--processes=2")["figures"]["events"]

    assert (events["sent"], events["accepted"], events["ok"]["count"]) == (120, 120, 120)
    assert events["per_second"] > 0


def test_query_asks_in_eight_shapes_for_what_it_published(relay: RelayProcess, tmp_path: Path) -> None:
    queries = measured(tmp_path, relay.ws_url, "query")["figures"]["queries"]

    by_shape = {shape["shape"]: shape for shape in queries["by_shape"]}
    assert len(by_shape) == 8
    assert by_shape["one id"]["events_per_query"] == 1.0
    assert by_shape["20 ids"]["events_per_query"] == 20.0
    assert queries["answered"] == queries["asked"] == sum(shape["answered"] for shape in by_shape.values())


def test_query_asks_for_what_the_relay_holds_and_publishes_nothing(relay: RelayProcess, tmp_path: Path) -> None:
    measured(tmp_path, relay.ws_url, "ingest")

    figures = measured(tmp_path, relay.ws_url, "query", "--existing")["figures"]

    assert figures["events"]["sent"] == 0
    assert figures["queries"]["answered"] > 0


def test_fanout_delivers_every_event_to_every_subscriber_of_two_processes(relay: RelayProcess, tmp_path: Path) -> None:
    figures = measured(tmp_path, relay.ws_url, "fanout", "--processes=2")["figures"]

    assert (figures["events"]["accepted"], figures["deliveries"]["subscribers"]) == (30, 10)
    assert (figures["deliveries"]["delivered"], figures["deliveries"]["lost"]) == (300, 0)


def test_idle_connections_all_get_the_one_event(relay: RelayProcess, tmp_path: Path) -> None:
    figures = measured(tmp_path, relay.ws_url, "idle", "--processes=2")["figures"]

    assert figures["connections"]["opened"] == 41
    assert (figures["deliveries"]["delivered"], figures["deliveries"]["lost"]) == (40, 0)
    assert figures["deliveries"]["all_received_ms"] > 0


@pytest_asyncio.fixture
async def rust_relay() -> AsyncIterator[str]:
    """The relay of rust-nostr, in memory."""
    nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())  # another test may have left its own
    relay = nostr_sdk.LocalRelayBuilder().build()
    await relay.run()
    yield str(await relay.url())
    relay.shutdown()


@pytest.mark.parametrize("scenario", ["mixed", "fanout"])
async def test_any_relay_can_be_measured(rust_relay: str, tmp_path: Path, scenario: str) -> None:
    figures = (await asyncio.to_thread(measured, tmp_path, rust_relay, scenario))["figures"]

    assert figures["events"]["accepted"] == figures["events"]["sent"] > 0
    assert figures["deliveries"]["lost"] == 0


def test_the_report_is_text_json_and_a_page_at_once(relay: RelayProcess, tmp_path: Path) -> None:
    files = [f"--json={tmp_path / 'report.json'}", f"--html={tmp_path / 'report.html'}"]

    ended = loadtest(tmp_path, relay.ws_url, *SMALL["mixed"], *PATIENT, *files)

    report = json.loads((tmp_path / "report.json").read_text())
    page = (tmp_path / "report.html").read_text()
    assert ended.returncode == 0
    assert "60 of 60 sent (100 %)" in ended.stdout
    assert (report["format"], report["version"], report["run"]["scenario"]) == ("relay-loadtest", 1, "mixed")
    assert {"run", "figures", "checks", "passed", "recommendations", "over_time", "distribution"} < set(report)
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 5


def test_quiet_lets_the_exit_code_speak(relay: RelayProcess, tmp_path: Path) -> None:
    missed = ["--thresholds=p95=0", "--quiet"]

    ended = loadtest(tmp_path, relay.ws_url, "--scenario=ingest", *SMALL["ingest"], *missed)

    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["wss://relay.example.com"], "relay.example.com is not this machine"),
        (["ws://127.0.0.1:9", "--scenario=all"], "invalid choice"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    ended = loadtest(tmp_path, *arguments)

    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_listener_is_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: no other process can take the port
        taken.bind(("127.0.0.1", 0))
        ended = loadtest(tmp_path, f"ws://127.0.0.1:{taken.getsockname()[1]}")

    assert ended.returncode == 2
    assert ended.stderr.startswith("CommandError: cannot connect to ws://127.0.0.1:")


def test_ctrl_c_ends_the_run_and_reports_what_was_measured(relay: RelayProcess, tmp_path: Path) -> None:
    """As in a terminal: its Ctrl-C reaches the workers too, and the progress is one line."""
    ours, theirs = pty.openpty()
    arguments = [relay.ws_url, *SMALL["mixed"][:-1], "--duration=30", "--processes=2", *PATIENT]
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"events accepted" not in shown:
            shown += os.read(ours, 4_096)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    with contextlib.suppress(OSError):  # the end of a terminal that no process has open any more
        while rest := os.read(ours, 4_096):
            shown += rest
    os.close(ours)

    assert process.returncode == 130
    assert "stopped early" in output
    assert re.search(r"accepted +[1-9]\d* of \d+ sent", output)
    assert b"\r\x1b[K" in shown
    assert b"Traceback" not in shown
