"""When anti-entropy runs by itself, and how the command is asked for it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from replication.client import PeerError
from replication.exposition import families
from replication.models import Region, Repair
from replication.reconcile import jobs
from replication.reconcile.local_set import OwnConnection
from replication.reconcile.report import Report
from replication.reconcile.session import Busy, Options, reconcile
from replication.reconcile.statements import statement
from replication.statements import statement as of_sender

pytestmark = pytest.mark.django_db(transaction=True)

Runs = list[tuple[str, bool]]


@pytest.fixture
def peers() -> list[Region]:
    Region.objects.create(name="here", is_local=True)
    made = [Region.objects.create(name=name, endpoint="http://127.0.0.1:9") for name in ("asia", "eu")]
    Region.objects.update(repair_asked_at=None, repair_reason="")  # of new peers everything is compared at first
    return made


def running(monkeypatch: pytest.MonkeyPatch, run: Callable[[Region], Report]) -> Runs:
    """Each run is `run`; the list gets the peer of each, and whether everything was to be compared."""
    runs: Runs = []

    def made(peer: Region, options: Options) -> Report:
        runs.append((peer.name, options.since is None))
        return run(peer)

    monkeypatch.setattr(jobs, "reconcile", made)
    return runs


def ask_for_repair(peer: Region) -> None:
    """As a sender does that has lost its place."""
    with connection.cursor() as cursor:
        cursor.execute(of_sender("ask_repair"), {"peer": peer.pk, "reason": "the log was pruned"})


def test_recent_events_are_compared_with_every_peer(peers: list[Region], monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report(is_whole=True)
    report.taken["stored"], report.given["stored"] = 2, 3
    runs = running(monkeypatch, lambda peer: report)

    assert jobs.reconcile_recent() == 10
    assert runs == [("asia", False), ("eu", False)]


def test_everything_is_compared_where_push_has_lost_its_place_until_a_run_was_whole(
    peers: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for_repair(peers[1])
    runs = running(monkeypatch, lambda peer: Report(is_whole=len(runs) > 2))

    jobs.reconcile_recent()
    jobs.reconcile_recent()
    jobs.reconcile_recent()

    assert runs == [("asia", False), ("eu", True), ("asia", False), ("eu", True), ("asia", False), ("eu", False)]


def test_what_push_loses_while_everything_is_compared_is_compared_by_another_run(
    peers: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(peer: Region) -> Report:
        if len(runs) == 1:
            ask_for_repair(peers[1])
        return Report(is_whole=True)

    runs = running(monkeypatch, run)
    ask_for_repair(peers[1])

    for _ in range(3):
        jobs.reconcile_asked()

    assert runs == [("eu", True)] * 2


def test_a_peer_that_is_away_does_not_keep_the_others_from_their_runs(
    peers: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(peer: Region) -> Report:
        raise PeerError("does not answer") if peer.name == "asia" else Busy

    runs = running(monkeypatch, run)

    assert jobs.reconcile_whole() == 0
    assert runs == [("asia", True), ("eu", True)]


def test_one_run_with_a_peer_is_under_way_at_a_time(peers: list[Region]) -> None:
    other = OwnConnection()
    with other.transaction():
        other(statement("alone"), {"peer": peers[0].origin})
        with pytest.raises(Busy):
            reconcile(peers[0], Options())
    other.close()
    assert not Repair.objects.exists()


def test_a_run_that_fails_says_why_in_its_row(peers: list[Region], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication.reconcile.patience.FIRST_SECONDS", 0.001)

    with pytest.raises(PeerError):
        reconcile(peers[0], Options(processes=1))

    (row,) = Repair.objects.all()
    assert row.error
    assert row.finished_at is not None


def repair(peer: Region, days_ago: int, since: int | None = None, error: str = "") -> Repair:
    made = Repair.objects.create(peer=peer, since=since, error=error, finished_at=timezone.now())
    when = timezone.now() - timedelta(days=days_ago)
    Repair.objects.filter(pk=made.pk).update(started_at=when, finished_at=when)
    return made


def test_of_the_rows_of_runs_the_newest_stay_and_the_newest_that_ended_well(
    peers: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication.reconcile.session.MOST_REPAIRS", 3)
    monkeypatch.setattr("replication.reconcile.patience.FIRST_SECONDS", 0.001)
    repair(peers[0], 9), repair(peers[0], 7, since=1)
    whole, recent, of_another = repair(peers[0], 8), repair(peers[0], 6, since=1), repair(peers[1], 9)
    failed = [repair(peers[0], days, error="does not answer") for days in (5, 4, 3, 2)]

    with pytest.raises(PeerError):
        reconcile(peers[0], Options(processes=1))

    kept = set(Repair.objects.values_list("pk", flat=True))
    newest = Repair.objects.order_by("-started_at")[0].pk
    assert kept == {whole.pk, recent.pk, of_another.pk, newest, failed[3].pk, failed[2].pk}


def test_metrics_say_when_runs_last_ended_well_and_for_a_new_peer_when_it_was_added(peers: list[Region]) -> None:
    repair(peers[0], 3), repair(peers[0], 2, since=1), repair(peers[0], 1, error="does not answer")
    Region.objects.filter(pk=peers[1].pk).update(created_at=timezone.now() - timedelta(days=5))

    found = {family.name: {s.labels["peer"]: s.value for s in family.samples} for family in families()}

    def days_ago(name: str, peer: str) -> float:
        return round((timezone.now().timestamp() - found[name][peer]) / 86_400, 2)

    assert days_ago("relay_replication_last_repair_timestamp_seconds", "asia") == 3
    assert days_ago("relay_replication_last_comparison_timestamp_seconds", "asia") == 2
    assert days_ago("relay_replication_last_repair_timestamp_seconds", "eu") == 5
    assert days_ago("relay_replication_last_comparison_timestamp_seconds", "eu") == 5


def test_the_command_names_the_peers_that_there_are(peers: list[Region]) -> None:
    with pytest.raises(CommandError, match=r"No peer has the name 'us'\. Peers: asia, eu\.") as refused:
        call_command("reconcile", "us")
    assert refused.value.returncode == 2


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--parallel", "0"], ["--parallel", "65"]])
def test_the_command_refuses_what_is_no_time_or_number(peers: list[Region], words: list[str]) -> None:
    with pytest.raises(CommandError, match="must be"):
        call_command("reconcile", "eu", *words)
