"""Jobs on real servers: a beat, two Celery workers, and what they leave when they are killed at a bad moment."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from relayproject.runtime.processes import living_in
from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.relay_process import RelayProcess, wait_for

JOBS = "relayproject.runtime.jobs"
BEAT = "relayproject.runtime.beat"

# Takes as long as the table `nap` says, wherever a view asks for the time.
SLOW_CLOCK = """
CREATE TABLE nap (seconds float);
INSERT INTO nap VALUES (0);
CREATE OR REPLACE FUNCTION analytics_now() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT extract(epoch FROM now())::bigint + length(pg_sleep(seconds)::text) FROM public.nap
$$;
GRANT SELECT ON nap TO PUBLIC;
"""


class Machines:
    """A relay with all roles, and a second machine that runs a Celery worker alone."""

    def __init__(self, first: RelayProcess, second: RelayProcess) -> None:
        self.first = first
        self.second = second

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Of a connection of its own, as soon as the server answers: it may have been killed since."""
        deadline = time.monotonic() + 20.0
        while True:
            try:
                return self._rows(query, parameters)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.first.services()["DATABASE_URL"], autocommit=True, connect_timeout=3) as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def pids(self, module: str) -> list[int]:
        return [*self.first.pids(module), *self.second.pids(module)]

    def hurry(self, *names: str) -> None:
        """What an operator does in the admin: let these jobs run every second."""
        self.rows("INSERT INTO django_celery_beat_intervalschedule (every, period) VALUES (1, 'seconds')")
        self.rows(
            "UPDATE django_celery_beat_periodictask SET expire_seconds = NULL, interval_id = "
            "(SELECT max(id) FROM django_celery_beat_intervalschedule WHERE every = 1 AND period = 'seconds') "
            "WHERE name = ANY (%s)",
            list(names),
        )
        self.rows(
            "INSERT INTO django_celery_beat_periodictasks (ident, last_update) VALUES (1, now()) "
            "ON CONFLICT (ident) DO UPDATE SET last_update = now()"
        )

    def runs(self, job: str) -> list[tuple[str, str]]:
        """Outcome and instance of each run, oldest first."""
        return self.rows("SELECT outcome, instance FROM analytics_job_run WHERE job = %s ORDER BY id", job)


@pytest.fixture(scope="module")
def machines(copy_of_migrated: CopyOfMigrated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = copy_of_migrated("jobs")
    first = RelayProcess(folder)
    second = None
    try:
        first.start()
        shared = {**first.services(), "SECRET_KEY": (folder / "secret_key").read_text().strip()}
        second = RelayProcess(tmp_path_factory.mktemp("jobs-2"), roles="worker", settings=shared)
        second.launch()
        both = Machines(first, second)
        both.rows(SLOW_CLOCK)
        both.hurry("roll-up", "refresh-popular_events", "note-minute")
        wait_for(lambda: len(both.pids(JOBS)) == 2, "two Celery workers", 30.0)
        yield both
    finally:
        for process in (second, first):
            if process is not None:
                process.destroy()


def publish(relay: RelayProcess, events: list[dict[str, Any]]) -> None:
    async def send() -> None:
        async with Client(relay.ws_url) as client:
            for event in events:
                assert (await client.publish(event)).accepted

    asyncio.run(send())


def refreshes_under_way(machines: Machines) -> int:
    ((number,),) = machines.rows(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND left(query, 7) = 'REFRESH'"
    )
    return int(number)


def test_a_note_becomes_popular_without_an_operator(machines: Machines) -> None:
    note = Author().event("read all about it")
    publish(machines.first, [note, *[Author().event("+", kind=7, tags=[["e", note["id"]]]) for _ in range(12)]])

    def shown() -> list[str]:
        status, text = machines.first.get("/api/popular")
        assert status == 200
        return [row["event"]["id"] for row in json.loads(text)["events"]]

    wait_for(lambda: note["id"] in shown(), "a popular note", 40.0)


def test_a_worker_that_is_killed_in_the_middle_of_a_refresh_holds_nothing_up(machines: Machines) -> None:
    job = "refresh-popular_events"
    machines.rows("UPDATE nap SET seconds = 60")
    wait_for(lambda: refreshes_under_way(machines) and "running" in dict(machines.runs(job)), "a refresh", 30.0)
    wait_for(lambda: machines.runs(job)[-1][0] == "skipped", "a tick that finds it running", 30.0)
    assert refreshes_under_way(machines) == 1
    running = dict(machines.runs(job))["running"]

    os.kill(int(running.rpartition(":")[2]), signal.SIGKILL)
    machines.rows("UPDATE nap SET seconds = 0")

    def well_again() -> bool:
        outcomes = [outcome for outcome, _ in machines.runs(job)]
        return "killed" in outcomes and outcomes[-1] == "done"

    wait_for(well_again, "a refresh after the kill", 30.0)
    assert [who for outcome, who in machines.runs(job) if outcome == "killed"] == [running]


def test_the_roll_up_has_no_gap_and_no_double_after_everything_was_killed(machines: Machines) -> None:
    def rolled_up() -> bool:
        return machines.rows("SELECT position = relay_position() FROM analytics_cursor") == [(True,)]

    # What was stored before the first roll-up has no hour of its own in the growth.
    grown = "(SELECT coalesce(sum(added - removed), 0) FROM analytics_growth)"
    missing = f"SELECT count(*) - {grown} FROM relay_event"
    wait_for(rolled_up, "a roll-up before anything is killed", 60.0)
    before = machines.rows(missing)

    valkey = next(living_in(machines.first.data_dir, "valkey-server"))
    (postmaster,) = postmasters(machines.first)
    for turn, dead in enumerate([machines.pids(JOBS), machines.first.pids(BEAT), [valkey], [postmaster]]):
        publish(machines.first, [Author().event(f"{turn} {number}") for number in range(10)])
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: postmasters(machines.first) not in ([], [postmaster]), "another PostgreSQL", 30.0)
    wait_for(lambda: accepts(machines.first), "a relay that takes events again", 30.0)
    publish(machines.first, [Author().event("the last")])

    wait_for(rolled_up, "a roll-up that has come to the end of the log", 60.0)
    stored = machines.rows("SELECT count(*)::numeric FROM relay_event")
    assert machines.rows("SELECT sum(events) FROM analytics_kind_hour") == stored
    assert machines.rows("SELECT events::numeric FROM analytics_cursor") == stored
    assert machines.rows(missing) == before


def test_after_that_minutes_are_written_again(machines: Machines) -> None:
    begun = time.time()
    wait_for(
        lambda: machines.rows(
            "SELECT id FROM analytics_job_run WHERE job = 'note-minute' AND outcome = 'done' "
            "AND started_at > to_timestamp(%s)",
            begun,
        ),
        "a minute",
        30.0,
    )
    ((minutes, seen),) = machines.rows("SELECT count(*), max(workers) FROM analytics_minute")
    assert (0 < minutes < 10, seen) == (True, 1.0)


def postmasters(relay: RelayProcess) -> list[int]:
    """The process that pg_ctl would name, once it accepts connections."""
    try:
        lines = (relay.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [int(lines[0])] if len(lines) > 7 and lines[7].strip() == "ready" else []


def accepts(relay: RelayProcess) -> bool:
    try:
        publish(relay, [Author().event("a note")])
    except (OSError, AssertionError, TimeoutError):
        return False
    return True
