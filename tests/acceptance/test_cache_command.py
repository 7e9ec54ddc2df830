"""`manage.py cache` as an operator uses it, against a running relay."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.relay_process import PROJECT, RelayProcess, clean_environment, wait_for

LOCK = "LOCK TABLE relay_event IN ACCESS EXCLUSIVE MODE"
WAITING = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'relay read %' AND wait_event_type = 'Lock'"


@pytest.fixture
def author() -> Author:
    return Author()


def start(folder: Path, words: Sequence[str]) -> subprocess.Popen[str]:
    # A shell has its background jobs ignore Ctrl-C, and what they start inherits that.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, str(PROJECT / "manage.py"), "cache", *words],
            env=clean_environment({"RELAY_DATA_DIR": str(folder)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, ours)


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    process = start(folder, words)
    out, said = process.communicate(timeout=30)
    return process.returncode, out, said


async def asked_twice(relay: RelayProcess, author: Author) -> None:
    async with Client(relay.ws_url) as client:
        await client.publish_all(event := author.event())
        for _ in range(2):
            assert (await client.query({"ids": [event["id"]]})).ids == [event["id"]]


async def test_stats_are_those_of_all_workers(relay: RelayProcess, author: Author) -> None:
    await asked_twice(relay, author)

    code, out, _ = run(relay.data_dir, "stats")
    head, columns, *lines = out.splitlines()

    assert code == 0
    assert head == "2 workers of 1 instance"
    assert columns.split()[:3] == ["layer", "cache", "entries"]
    names = {tuple(line.split()[:2]) for line in lines}
    assert {("L1", "window"), ("L1", "profiles"), ("L1", "events"), ("L2", "results")} <= names


def test_stats_as_json_have_every_worker(relay: RelayProcess) -> None:
    code, out, _ = run(relay.data_dir, "stats", "--json")
    found = json.loads(out)

    assert code == 0
    assert {worker["pid"] for worker in found["workers"]} == set(relay.workers())
    assert {"name", "layer", "hits", "misses"} <= set(found["total"][0])
    assert {cache["name"] for cache in found["workers"][0]["caches"]} >= {"window", "profiles"}


def test_clear_asks_first_and_does_as_it_is_told(relay: RelayProcess) -> None:
    unasked = run(relay.data_dir, "clear")
    assert (unasked[0], unasked[1]) == (2, "")
    assert "--yes" in unasked[2]

    code, out, _ = run(relay.data_dir, "clear", "--name", "events", "--layer", "L2", "--yes")
    assert code == 0
    assert out.startswith("Cleared events of L2 in every instance: ")
    assert "keys of the shared cache deleted" in out


async def test_warm_says_what_it_does_and_what_it_has_done(relay: RelayProcess, author: Author) -> None:
    await asked_twice(relay, author)
    code, out, said = run(relay.data_dir, "warm")
    assert code == 0
    assert "the newest events of kind 1" in said
    assert "100 %" in said
    assert out.startswith("Warmed ")


def test_warm_stops_with_ctrl_c(relay: RelayProcess) -> None:
    with psycopg.connect(relay.services()["DATABASE_URL"]) as holding, psycopg.connect(
        relay.services()["DATABASE_URL"], autocommit=True
    ) as looking:  # fmt: skip
        before = len(looking.execute(WAITING).fetchall())
        holding.execute(LOCK)
        process = start(relay.data_dir, ["warm"])
        wait_for(lambda: len(looking.execute(WAITING).fetchall()) > before, "a query that waits")
        os.kill(process.pid, signal.SIGINT)
        out, said = process.communicate(timeout=20)
        holding.rollback()

    assert process.returncode == 130, said
    assert "Stopped." in said
    assert "Traceback" not in said
    assert out.startswith("Warmed 0 events")


def test_without_a_relay_it_says_what_is_missing(tmp_path: Path) -> None:
    code, _, said = run(tmp_path, "clear", "--yes")
    assert code == 1
    assert "there is no shared cache" in said
    assert "CACHE_URL" in said
