"""`manage.py cluster`: a whole platform with the real parts, under Patroni, that loses an instance and its primary.

In this order: Patroni brings the old primary back while the last test goes on.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from relayproject.runtime.cluster import front, patroni
from tests.acceptance.client import Client, assert_reaches_all
from tests.acceptance.cluster_command import ClusterCommand
from tests.acceptance.faults.load import Ledger, Listener, new_author, stored_of, until
from tests.acceptance.relay_process import alive
from tests.events import sign_event

pytestmark = pytest.mark.timeout(240)

FAILOVER_SECONDS = 30.0
"""Patroni promotes within 3 s of a kill; the rest is for a machine that runs other tests."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterCommand]:
    """Two instances with a worker each behind HAProxy, a primary and two replicas under Patroni, one Valkey."""
    if not patroni.is_installed():
        pytest.skip(f"Patroni or etcd is not installed: {patroni.INSTALL}")
    if not front.has_haproxy():
        pytest.skip(f"HAProxy is not installed: {front.INSTALL}")
    made = ClusterCommand(tmp_path_factory.mktemp("cluster") / "c")
    try:
        made.up("--no-prometheus", "--instances", "2")
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def url(cluster: ClusterCommand) -> str:
    """The balancer's."""
    return cluster.api.status().url


def rows(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in found["parts"]}


def primary_of(cluster: ClusterCommand) -> str | None:
    return next((row.name for row in cluster.api.status().parts if row.role == "primary"), None)


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_status_names_every_part_with_its_role_process_address_and_log(cluster: ClusterCommand) -> None:
    done = cluster.run("status", "--json")
    found = rows(json.loads(done.stdout))
    roles = [found[f"postgres-{number}"]["role"] for number in (1, 2, 3)]
    assert (done.returncode, sorted(roles)) == (0, ["primary", "replica", "replica"])
    assert {"etcd-1", "patroni-3", "valkey-1", "relay-1/jobs", "relay-1/beat", "relay-2/worker-1"} <= set(found)
    assert all(alive(row["pid"]) and Path(row["log"]).exists() for row in found.values())
    assert found["haproxy"]["address"] == f"127.0.0.1:{cluster.base_port}"
    assert stat_mode(cluster.folder / "cluster.json") == 0o600, "it has the passwords"


async def test_an_event_through_the_balancer_reaches_subscribers_of_all_instances(url: str) -> None:
    async with AsyncExitStack() as stack:
        await assert_reaches_all([await stack.enter_async_context(Client(url)) for _ in range(6)])


async def test_clients_of_a_killed_instance_go_on_at_another_and_up_starts_it_alone(
    cluster: ClusterCommand, url: str
) -> None:
    ledgers = [Ledger(url, new_author()) for _ in range(6)]
    for ledger in ledgers:
        await ledger.acknowledged_more(5, 20.0)
    cluster.api.kill(["relay-2"])
    done = await asyncio.to_thread(cluster.run, "status", "--json")
    assert (done.returncode, rows(json.loads(done.stdout))["relay-2"]["state"]) == (1, "down")
    for ledger in ledgers:
        await ledger.acknowledged_more(5, 20.0)
        await ledger.finish()
    before = rows(json.loads(done.stdout))
    after = rows(await asyncio.to_thread(cluster.up))
    changed = {name for name, row in after.items() if row["pid"] != before.get(name, {"pid": 0})["pid"]}
    assert changed == {"relay-2", "relay-2/worker-1"}
    async with Client(url) as client:
        acknowledged = [event_id for ledger in ledgers for event_id in ledger.acknowledged]
        assert await stored_of(client, acknowledged) == set(acknowledged)


async def test_a_paused_part_is_told_from_one_that_is_down(cluster: ClusterCommand) -> None:
    cluster.api.pause(["relay-2/worker-1"])
    states = {row.name: row.state for row in (await asyncio.to_thread(cluster.api.status)).parts}
    cluster.api.resume(["relay-2/worker-1"])
    assert states["relay-2/worker-1"] == "paused"
    await until(lambda: cluster.api.status().healthy, "all is well again", 20.0)


def test_a_name_that_is_no_part_and_an_option_that_cannot_change_are_refused(cluster: ClusterCommand) -> None:
    unknown = cluster.run("kill", "relay-9")
    changed = cluster.run("up", "--replicas", "1", "--base-port", str(cluster.base_port))
    assert (unknown.returncode, changed.returncode) == (1, 1)
    assert "There is no part relay-9" in unknown.stderr
    assert "made with --replicas 2" in changed.stderr


async def test_a_killed_primary_is_replaced_and_nothing_acknowledged_is_lost(cluster: ClusterCommand, url: str) -> None:
    ledgers = [Ledger(url, new_author()) for _ in range(3)]
    for ledger in ledgers:
        await ledger.acknowledged_more(20, 20.0)
    old = await asyncio.to_thread(primary_of, cluster)
    assert old is not None
    cluster.api.kill([old])
    for ledger in ledgers:
        await ledger.acknowledged_more(20, FAILOVER_SECONDS)
        await ledger.finish()
    new = await asyncio.to_thread(primary_of, cluster)
    async with Client(url) as client:
        acknowledged = [event_id for ledger in ledgers for event_id in ledger.acknowledged]
        assert await stored_of(client, acknowledged) == set(acknowledged)
    assert new not in {None, old}


async def test_after_down_nothing_runs_and_the_next_up_has_the_data(cluster: ClusterCommand, url: str) -> None:
    event = sign_event(content="kept")
    listener_client = await Client(url).__aenter__()
    listener = Listener(listener_client)
    await listener.start({"ids": [event["id"]]})
    async with Client(url) as client:
        assert (await client.publish(event)).accepted
    await listener.has([event["id"]])
    await listener.stop()
    pids = [row.pid for row in (await asyncio.to_thread(cluster.api.status)).parts]
    down = await asyncio.to_thread(cluster.run, "down")
    assert (down.returncode, [pid for pid in pids if alive(pid)]) == (0, []), down.stderr
    assert (await asyncio.to_thread(cluster.run, "status")).returncode == 3
    await asyncio.to_thread(cluster.up, "--instances", "1")
    async with Client(url) as client:
        assert (await client.request("kept", {"ids": [event["id"]]})).ids == [event["id"]]
