"""Answers of many megabytes: a client that reads gets all of them, and memory stays bounded."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.relay_process import RelayProcess, running

EVENTS = 100
CONTENT = 380_000
SLACK_MIB = 300
"""More memory than this for all processes would mean that the texts of all filters were held at once (800 MB)."""


@pytest.fixture(scope="module", params=["none", "l1+l2"])
def relay(request: pytest.FixtureRequest, copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    settings = {"RELAY_MAX_CONTENT_LENGTH": "400000", "RELAY_CACHE_LAYERS": str(request.param)}
    with running(RelayProcess(copy_of_migrated("large"), roles="web", settings=settings)) as process:
        yield process


def anonymous_mib(pids: list[int]) -> int:
    """The memory of processes that no file and no shared memory backs."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return total // 1024


def family(pid: int) -> list[int]:
    """A process and all that came of it."""
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


async def test_a_client_that_reads_gets_all_of_a_large_answer(relay: RelayProcess) -> None:
    author = Author()
    now = author.event()["created_at"]
    events = [author.event(str(number) + "x" * CONTENT, at=now - number) for number in range(EVENTS)]
    async with Client(relay.ws_url) as client:
        for event in events:
            assert (await client.publish(event)).accepted
        assert relay.process is not None
        before = anonymous_mib(family(relay.process.pid))

        filters = [author.events | {"since": number} for number in range(20)]
        answer = await client.query(*filters)
        peak = anonymous_mib(family(relay.process.pid))

        assert (answer.closed, answer.ids) == (None, [event["id"] for event in events])
        assert peak - before < SLACK_MIB
        live = author.event("live")
        await client.send("REQ", "open", author.events | {"since": now + 1, "limit": 1})
        await client.stored("open")
        await client.publish(live | author.event("live", at=now + 1))
        assert (await client.live("open"))["content"] == "live"
