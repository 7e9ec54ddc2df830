"""Two whole regions, `eu` and `us`, which know each other and run no jobs: what one has the other lacks."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import psycopg

from tests.acceptance.relay_process import PROJECT, RelayProcess, all_running, clean_environment
from tests.ports import free_port

Event = dict[str, Any]
SECRET = "the secret of eu and us: 0123456789abcdefghi"
SECONDS = 90


class Regions(NamedTuple):
    eu: RelayProcess
    us: RelayProcess


def region(folder: Path, name: str, port: int, peer: str, peer_port: int) -> RelayProcess:
    described = f"{peer}=http://127.0.0.1:{peer_port}?secret={quote_plus(SECRET)}"
    settings = {
        "RELAY_PORT": str(port),
        "RELAY_REGION": name,
        "RELAY_PEERS": described,
        "RELAY_MAX_LIMIT": "10000",
        "RELAY_EVENT_RATE": "0",
    }
    return RelayProcess(folder, settings=settings, roles="web,migrate")


@contextmanager
def two_regions(folder: Path, prepared: Path | None = None) -> Iterator[Regions]:
    """Both, serving; `prepared` is a migrated data folder."""
    ports = free_port(), free_port()
    made = []
    for name, port, peer_port, peer in (("eu", *ports, "us"), ("us", *ports[::-1], "eu")):
        data = folder / name
        if prepared is not None:
            shutil.copytree(prepared, data, symlinks=True)
        made.append(region(data, name, port, peer, peer_port))
    with all_running(*made):
        yield Regions(*made)


def start(relay: RelayProcess, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "manage.py"), *words],
        env=clean_environment({"RELAY_DATA_DIR": str(relay.data_dir)}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )


def run(relay: RelayProcess, *words: str, given: str = "", seconds: float = SECONDS) -> str:
    """Standard output of a command that must succeed."""
    process = start(relay, *words)
    out, said = process.communicate(given, timeout=seconds)
    assert process.returncode == 0, said
    return out


def load(relay: RelayProcess, events: Sequence[Event]) -> None:
    run(relay, "import", "-", "--quiet", given="".join(json.dumps(event) + "\n" for event in events))


def heal(relay: RelayProcess, peer: str, *words: str, seconds: float = SECONDS) -> dict[str, Any]:
    """The report of a run."""
    return dict(json.loads(run(relay, "reconcile", peer, "--json", "--quiet", *words, seconds=seconds)))


def rows(relay: RelayProcess, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(relay.services()["DATABASE_URL"]) as database:
        return database.execute(query.encode()).fetchall()
