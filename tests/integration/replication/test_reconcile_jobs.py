"""When anti-entropy runs by itself, and how the command is asked for it."""

from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command

from replication.client import PeerError, ask_for_repair
from replication.models import Region, Repair
from replication.reconcile import jobs
from replication.reconcile.local_set import OwnConnection
from replication.reconcile.report import Report
from replication.reconcile.session import Busy, Options, reconcile
from replication.reconcile.statements import statement

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


def test_recent_events_are_compared_with_every_peer(peers: list[Region], monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report(is_whole=True)
    report.taken["stored"], report.given["stored"] = 2, 3
    runs = running(monkeypatch, lambda peer: report)

    assert jobs.reconcile_recent() == 10
    assert runs == [("asia", False), ("eu", False)]


def test_everything_is_compared_where_push_has_lost_its_place_until_a_run_was_whole(
    peers: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for_repair(peers[1], "the log was pruned")
    runs = running(monkeypatch, lambda peer: Report(is_whole=len(runs) > 2))

    jobs.reconcile_recent()
    jobs.reconcile_recent()
    jobs.reconcile_recent()

    assert runs == [("asia", False), ("eu", True), ("asia", False), ("eu", True), ("asia", False), ("eu", False)]


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


def test_the_command_names_the_peers_that_there_are(peers: list[Region]) -> None:
    with pytest.raises(CommandError, match=r"No peer has the name 'us'\. Peers: asia, eu\.") as refused:
        call_command("reconcile", "us")
    assert refused.value.returncode == 2


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--parallel", "0"], ["--parallel", "65"]])
def test_the_command_refuses_what_is_no_time_or_number(peers: list[Region], words: list[str]) -> None:
    with pytest.raises(CommandError, match="must be"):
        call_command("reconcile", "eu", *words)
