"""`manage.py import` and `export` as an operator uses them, beside a running relay and without one."""

import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
import zstandard

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.conftest import StartRelay
from tests.acceptance.relay_process import PROJECT, RelayProcess, alive, clean_environment, wait_for

SECONDS = 60


@pytest.fixture
def author() -> Author:
    return Author()


def start(folder: Path, *words: str, stdin: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    ours = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # what a shell starts may inherit that it is ignored
    try:
        return subprocess.Popen(
            [sys.executable, str(PROJECT / "manage.py"), *words],
            env=clean_environment({"RELAY_DATA_DIR": str(folder)}),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
        )
    finally:
        signal.signal(signal.SIGINT, ours)


def run(folder: Path, *words: str, given: bytes | None = None) -> tuple[int, bytes, str]:
    """Exit code, standard output, standard error."""
    process = start(folder, *words, stdin=subprocess.DEVNULL if given is None else subprocess.PIPE)
    out, said = process.communicate(given, timeout=SECONDS)
    return process.returncode, out, said.decode()


def report(folder: Path, *words: str, given: bytes | None = None) -> dict[str, Any]:
    code, out, said = run(folder, "import", *words, "--json", given=given)
    assert code == 0, said
    return dict(json.loads(out)["taken"])


def lines(events: Sequence[object]) -> bytes:
    return b"".join([json.dumps(event).encode() + b"\n" for event in events])


def of(author: Author) -> tuple[str, str]:
    return "--filter", json.dumps(author.events)


def stored(relay: RelayProcess, author: Author) -> int:
    with psycopg.connect(relay.services()["DATABASE_URL"]) as database:
        query = "SELECT count(*) FROM relay_event WHERE pubkey = decode(%s, 'hex')"
        row = database.execute(query, (author.pubkey,)).fetchone()
    assert row is not None
    return int(row[0])


def test_what_goes_in_on_standard_input_comes_out_on_standard_output(relay: RelayProcess, author: Author) -> None:
    now = int(time.time())
    events = [author.event(f"é {number}", at=now - 9 + number) for number in range(3)]

    assert report(relay.data_dir, "-", given=lines(events)) == {"stored": 3}
    code, out, said = run(relay.data_dir, "export", *of(author))

    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == events
    assert re.search(r"^3 events, the store [0-9a-f]{16}\.1 after change [\d,]+ of its log$", said, re.MULTILINE)


async def test_subscriptions_receive_what_is_imported(relay: RelayProcess, author: Author, tmp_path: Path) -> None:
    event = author.event("imported")
    (path := tmp_path / "events.jsonl.zst").write_bytes(zstandard.compress(lines([event])))
    async with Client(relay.ws_url) as client:
        await client.request("sub", author.events)

        assert report(relay.data_dir, str(path)) == {"stored": 1}

        assert await client.live("sub") == event


async def test_a_query_after_the_import_finds_what_it_brought(relay: RelayProcess, author: Author) -> None:
    events = [author.event(str(number)) for number in range(700)]
    async with Client(relay.ws_url) as client:
        assert (await client.query(author.events)).ids == []

        report(relay.data_dir, "-", given=lines(events))

        wanted = {"ids": [events[0]["id"], events[-1]["id"]]}
        assert sorted((await client.query(wanted)).ids) == sorted(wanted["ids"])


def test_refused_lines_are_named_and_fail_a_strict_import(relay: RelayProcess, author: Author) -> None:
    given = lines([author.event()]) + b"junk\n"

    code, out, _ = run(relay.data_dir, "import", given=given)
    strict, _, _ = run(relay.data_dir, "import", "--strict", given=given)

    assert (code, strict) == (0, 1)
    assert "1  stored" in out.decode()
    assert "refused: invalid: not JSON" in out.decode()
    assert "line 2: junk" in out.decode()


def test_an_import_that_is_killed_goes_on_with_nothing_missing_and_nothing_twice(
    relay: RelayProcess, author: Author, tmp_path: Path
) -> None:
    events = [author.event(str(number)) for number in range(6_000)]
    (path := tmp_path / "events.gz").write_bytes(gzip.compress(lines(events)))
    process = start(relay.data_dir, "import", str(path), "--rate", "2500")
    wait_for(lambda: stored(relay, author) > 2_000 and b'"line":0,' not in state(path), "the first part", 40)
    children = verifiers_of(process.pid)
    process.kill()
    process.wait()
    assert children
    wait_for(lambda: not any(map(alive, children)), "the end of the verifying processes")
    done = int(json.loads(state(path))["line"])
    assert 0 < done < 6_000

    code, out, said = run(relay.data_dir, "import", str(path), "--resume", "--json")

    assert code == 0, said
    taken = json.loads(out)["taken"]
    assert taken["stored"] + taken.get("duplicate", 0) == 6_000
    assert stored(relay, author) == 6_000
    code, out, _ = run(relay.data_dir, "export", *of(author))
    assert sorted(out.splitlines()) == sorted(
        json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() for event in events
    )
    with psycopg.connect(relay.services()["DATABASE_URL"]) as database:
        query = (
            "SELECT count(*), count(DISTINCT c.event_id) FROM relay_change AS c JOIN relay_event AS e "
            "ON e.id = c.event_id WHERE e.pubkey = decode(%s, 'hex')"
        )
        assert database.execute(query, (author.pubkey,)).fetchone() == (6_000, 6_000)


def state(path: Path) -> bytes:
    file = path.with_name(path.name + ".import-state")
    return file.read_bytes() if file.exists() else b'"line":0,'


def verifiers_of(pid: int) -> list[int]:
    children = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if entry.name.isdecimal() and alive(int(entry.name)):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == pid:
                    children.append(int(entry.name))
    return children


def test_ctrl_c_stores_what_was_read_and_the_import_goes_on(
    relay: RelayProcess, author: Author, tmp_path: Path
) -> None:
    events = [author.event(str(number)) for number in range(4_000)]
    (path := tmp_path / "events").write_bytes(lines(events))
    process = start(relay.data_dir, "import", str(path), "--rate", "2000")
    wait_for(lambda: stored(relay, author) > 500, "the first part")

    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=SECONDS)

    assert process.returncode == 130
    assert b"--resume goes on from here" in said
    done = stored(relay, author)
    assert done < 4_000
    assert re.search(rf"{done:,}  stored".encode(), out)
    assert report(relay.data_dir, str(path), "--resume") == {"stored": 4_000}


def test_ctrl_c_ends_an_import_that_waits_for_standard_input(relay: RelayProcess, author: Author) -> None:
    process = start(relay.data_dir, "import", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(lines([author.event()]))
    process.stdin.flush()
    wait_for(lambda: verifiers_of(process.pid), "the verifying processes")

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=20) == 130
    process.communicate()


def test_ctrl_c_ends_an_import_that_has_got_nothing_yet(relay: RelayProcess) -> None:
    process = start(relay.data_dir, "import", "-", stdin=subprocess.PIPE)
    wait_for(lambda: "poll" in Path(f"/proc/{process.pid}/wchan").read_text(), "the wait for standard input")

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=20) == 130
    process.communicate()


def test_a_second_ctrl_c_ends_an_import_while_the_database_does_not_answer(
    relay: RelayProcess, author: Author, tmp_path: Path
) -> None:
    (path := tmp_path / "events").write_bytes(lines([author.event(str(number)) for number in range(600)]))
    with psycopg.connect(relay.services()["DATABASE_URL"]) as database:
        database.execute("LOCK TABLE relay_event IN ACCESS EXCLUSIVE MODE")
        process = start(relay.data_dir, "import", str(path))
        waiting = (
            "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'relay write %' AND wait_event_type = 'Lock'"
        )
        with psycopg.connect(relay.services()["DATABASE_URL"], autocommit=True) as watching:
            wait_for(lambda: watching.execute(waiting).fetchone(), "the wait for the lock")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert b"Stopping" in process.stderr.readline()

        process.send_signal(signal.SIGINT)

        assert process.wait(timeout=20) == 130
    process.communicate()
    done = report(relay.data_dir, str(path), "--resume")  # PostgreSQL may have gone on with the batch
    assert sum(done.values()) == stored(relay, author) == 600


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_an_export_ends_silently_when_its_reader_has_gone(
    relay: RelayProcess, author: Author, compression: str
) -> None:
    report(relay.data_dir, "-", given=lines([author.event(os.urandom(30_000).hex()) for _ in range(40)]))
    process = start(relay.data_dir, "export", "--compress", compression, *of(author))
    assert process.stdout is not None
    process.stdout.close()

    said = process.stderr.read() if process.stderr else b""
    assert process.wait(timeout=SECONDS) == 141
    assert said == b""


def test_an_export_fills_an_empty_relay_with_the_same_events(
    relay: RelayProcess, author: Author, start_relay: StartRelay, tmp_path: Path
) -> None:
    now = int(time.time())
    events = [
        author.event(f"{kind} {number}", kind=kind, at=now - 9 + number, tags=[["d", str(number % 2)], ["t", "x"]])
        for kind in (0, 1, 4, 7, 1059, 30_023)
        for number in range(4)
    ]
    report(relay.data_dir, "-", given=lines(events))
    code, _, said = run(relay.data_dir, "export", str(tmp_path / "backup.jsonl.zst"), "--private", *of(author))
    assert code == 0, said
    other = start_relay()

    assert report(other.data_dir, str(tmp_path / "backup.jsonl.zst")) == {"stored": 4 * 4 + 1 + 2}

    first, second = (run(one.data_dir, "export", "--private", *of(author))[1] for one in (relay, other))
    assert first == second
    assert first.count(b"\n") == 19


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["import", "--resume"], 2, "--resume of standard input needs --state"),
        (["import", "nothing-here"], 1, "nothing-here cannot be read: "),
        (["import", "-", "--rate", "0"], 2, "must be a positive number"),
        (["export", "--filter", "{"], 2, "--filter: a filter must be JSON"),
        (["export", "--filter", '{"x":1}'], 2, "--filter: filter contains unknown elements"),
        (["export", "/nothing/here/file"], 1, "/nothing/here/file cannot be written: "),
    ],
)
def test_mistakes_are_explained_in_one_sentence(relay: RelayProcess, words: list[str], code: int, text: str) -> None:
    found, _, said = run(relay.data_dir, *words)

    assert found == code
    assert text in said
    assert "Traceback" not in said


def test_62_1_an_import_knows_the_address_of_the_relay_beside_which_it_runs(
    relay: RelayProcess, author: Author
) -> None:
    """Of the environment of `serve` the command has the data folder alone, so not the port, which is in the address."""
    leaving, now = Author(), int(time.time())
    kept = [author.event(at=now - 1), author.event(kind=62, tags=[["relay", "ws://127.0.0.1:1"]])]
    gone = [leaving.event(at=now - 1), leaving.event(kind=62, tags=[["relay", relay.ws_url]])]

    assert report(relay.data_dir, given=lines([*kept, *gone])) == {"stored": 4}

    assert stored(relay, author) == 2
    _, out, _ = run(relay.data_dir, "export", *of(leaving))
    assert out == b""


@pytest.mark.parametrize("command", ["import", "export"])
def test_without_a_running_database_the_command_says_how_to_start_one(command: str, tmp_path: Path) -> None:
    code, _, said = run(tmp_path, command)

    assert code == 1
    assert "make run" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["import", "export"])
def test_the_help_has_examples(command: str, tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, command, "--help")

    assert code == 0
    assert f"manage.py {command} " in out.decode()
