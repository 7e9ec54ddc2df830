"""`manage.py roll`: every process is replaced under load, and no client is refused or loses what was acknowledged."""

import asyncio
import contextlib
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from relayproject.runtime.processes import living_in
from tests.acceptance.client import Client
from tests.acceptance.faults.load import Ledger, new_author, stored_of, until
from tests.acceptance.relay_process import PROJECT, RelayProcess, clean_environment, wait_for
from tests.events import sign_event

DRAIN_SECONDS = 3.0
SUBSCRIBERS = 60
pytestmark = pytest.mark.timeout(240)
SETTINGS = {"RELAY_DRAIN_SECONDS": str(DRAIN_SECONDS), "RELAY_LEAVE_SECONDS": "2"}
PROGRAM = """{line}
import runpy, sys
sys.path.insert(0, {project!r})
runpy.run_path({manage!r}, run_name="__main__")
"""
WORKER, JOBS, BEAT = (f"relayproject.runtime.{name}" for name in ("worker", "jobs", "beat"))
KEPT = ("nostr_events_stored_total", "nostr_queries_total")


@dataclass
class Seen:
    """What clients saw during the roll. closes: (time, code, whether CLOSED came before) of each subscriber."""

    opened: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    closes: list[tuple[float, int | None, bool]] = field(default_factory=list)

    async def open_again_and_again(self, url: str, over: asyncio.Event) -> None:
        """Open a connection, ask, leave; a connection that ends after it was opened is no failure."""
        while not over.is_set():
            try:
                async with Client(url) as client:
                    self.opened += 1
                    with contextlib.suppress(ConnectionClosed):
                        await client.request("ask", {"kinds": [1], "limit": 1})
            except Exception as error:
                self.failures[f"{type(error).__name__}: {error}"] += 1
            await asyncio.sleep(0.005)

    async def await_close(self, client: Client) -> None:
        code = await client.closed(120.0)
        told = any(message[:2] == ["CLOSED", "live"] for message in client.unread)
        self.closes.append((time.monotonic(), code, told))

    def most_in(self, seconds: float) -> int:
        """The most closes within so many seconds."""
        times = sorted(at for at, _, _ in self.closes)
        return max(sum(begin <= at < begin + seconds for at in times) for begin in times)


@dataclass(frozen=True)
class Installed:
    """A relay whose program can be replaced on disk. `relay` has two workers and the jobs."""

    program: Path
    relay: RelayProcess

    def install(self, line: str) -> None:
        """A version that first executes `line`."""
        self.program.write_text(PROGRAM.format(line=line, project=str(PROJECT), manage=str(PROJECT / "manage.py")))


@pytest.fixture(scope="module")
def installed(migrated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("installed")
    data = Path(shutil.copytree(migrated_folder, folder / "var", symlinks=True))
    program = folder / "program.py"
    relay = RelayProcess(data, workers=2, settings=SETTINGS, command=[sys.executable, str(program), "serve"])
    found = Installed(program, relay)
    found.install("pass")
    try:
        relay.start()
        yield found
    finally:
        relay.destroy()


def servers(relay: RelayProcess) -> list[int]:
    """Ids of the embedded servers themselves."""
    postmaster = int((relay.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    return [postmaster, *living_in(relay.data_dir, "valkey-server")]


async def roll(relay: RelayProcess) -> tuple[int, str]:
    """Exit code and output of the command."""
    environment = clean_environment({**SETTINGS, "RELAY_DATA_DIR": str(relay.data_dir)})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROJECT / "manage.py"), "roll"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120.0)
    return process.returncode or 0, output.decode()


def counts(relay: RelayProcess) -> dict[str, float]:
    """The counters of KEPT, of the instance."""
    lines = [line.split() for line in relay.get("/metrics")[1].splitlines()]
    return {words[0]: float(words[1]) for words in lines if words and words[0] in KEPT}


async def test_01_s09_a_roll_replaces_every_process_and_refuses_no_connection(installed: Installed) -> None:
    rolled = installed.relay
    installed.install("import sys; sys.stderr.write('the second version\\n')")
    seen, over = Seen(), asyncio.Event()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(rolled.ws_url)) for _ in range(SUBSCRIBERS)]
        for client in clients:
            await client.request("live", {"kinds": [30_000]})
        ledgers = [Ledger(rolled.ws_url, new_author()) for _ in range(2)]
        openers = [asyncio.create_task(seen.open_again_and_again(rolled.ws_url, over)) for _ in range(2)]
        watching = [asyncio.create_task(seen.await_close(client)) for client in clients]
        for ledger in ledgers:
            await ledger.acknowledged_more(30, 20.0)
        replaced = {*rolled.workers(), *rolled.pids(JOBS), *rolled.pids(BEAT)}
        kept, before = servers(rolled), counts(rolled)

        code, output = await roll(rolled)

        assert code == 0, output + rolled.messages()
        await asyncio.gather(*watching)
        for ledger in ledgers:
            await ledger.acknowledged_more(20, 20.0)
            await ledger.finish()
        over.set()
        await asyncio.gather(*openers)

        assert seen.failures == {}
        assert seen.opened > 50
        assert {(code, told) for _, code, told in seen.closes} == {(1012, True)}
        assert len(seen.closes) == SUBSCRIBERS
        assert seen.most_in(0.5) < SUBSCRIBERS * 0.6
        assert all(not ledger.refused for ledger in ledgers)
        acknowledged = [event_id for ledger in ledgers for event_id in ledger.acknowledged]
        async with Client(rolled.ws_url) as client:
            assert await stored_of(client, acknowledged) == set(acknowledged)

    assert "the second version" in rolled.messages()
    assert len(rolled.workers()) == 2
    assert not replaced & {*rolled.workers(), *rolled.pids(JOBS), *rolled.pids(BEAT)}
    assert (kept, rolled.has_ended()) == (servers(rolled), False)
    assert all(now >= before[name] > 0 for name, now in counts(rolled).items()), "a counter has fallen"
    wait_for(lambda: "relay_single_instance_lease 1.0" in rolled.get("/metrics")[1], "the lease of the instance")


async def test_a_version_that_does_not_start_changes_nothing(installed: Installed) -> None:
    everyone = installed.relay.pids(WORKER)
    installed.install("raise SystemExit(3)")
    code, output = await roll(installed.relay)
    installed.install("pass")
    assert "The program on disk cannot take over" in output
    assert (code, everyone) == (1, installed.relay.pids(WORKER))


async def test_a_stop_fails_the_probe_before_it_closes_connections(installed: Installed) -> None:
    relay = installed.relay
    assert relay.process is not None
    async with Client(relay.ws_url) as client, Client(relay.ws_url) as publisher:
        await client.request("live", {"kinds": [1]})
        relay.process.terminate()
        await until(lambda: relay.get("/ready")[0] == 404, "a probe that fails")
        event = sign_event(content="while the probe fails")
        assert (await publisher.publish(event)).accepted
        assert (await client.live("live"))["id"] == event["id"]
        assert await client.closed() == 1012
    assert relay.wait_ended(20.0) == 0
