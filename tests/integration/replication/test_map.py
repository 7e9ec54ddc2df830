"""The operators' map: what it says of each region, to whom, and at which cost."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import DatabaseError
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from replication.map import page
from replication.map.page import figures
from replication.map.rows import lane_rows, region_rows
from replication.models import DeadLetter, Lane, LaneState, PeerHealth, Region, Repair

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    """When the test began: a region is healthy for a minute only."""
    return datetime.now(UTC)


@pytest.fixture
def tokyo(now: datetime) -> Region:
    """A peer of Frankfurt: lanes, a dead letter, a repair, and a place."""
    Region.objects.create(name="frankfurt", is_local=True, latitude=50.1, longitude=8.7)
    found = Region.objects.create(name="tokyo", latitude=35.7, longitude=139.7, relay_urls=["wss://nrt.example.com"])
    PeerHealth.objects.create(
        peer=found, last_contact_at=now - timedelta(seconds=3), ready=True, latency_ms=221.4, connections=7, capacity=90
    )
    found.lanes.filter(lane=Lane.URGENT).update(lag_events=12, lag_seconds=1.25, events_per_second=40)
    found.lanes.filter(lane=Lane.LOW).update(state=LaneState.DOWN, last_error="connection refused")
    DeadLetter.objects.create(peer=found, event_id="ab" * 32, event_created_at=1, kind=1, reason_class="invalid")
    Repair.objects.create(peer=found, finished_at=now - timedelta(hours=5), received=1, sent=2)
    Repair.objects.create(peer=found, finished_at=now - timedelta(minutes=5), received=1_234, sent=5)
    return found


@pytest.fixture
def operator(client: Client) -> Client:
    """Signed in, with the permission to see the replication."""
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_peerlane"))
    client.force_login(user)
    return client


def test_a_peer_is_shown_with_what_it_said_last(tokyo: Region, now: datetime) -> None:
    here, row = region_rows(now)
    assert (here.name, here.is_local, here.health, here.heard) == ("frankfurt", True, "ok", "–")
    assert (row.health, row.level, row.latency, row.heard, row.load) == ("ok", "", "221 ms", "3 s ago", "7 of 90")
    assert (row.dead_letters, row.repair) == ("1", "5\xa0minutes ago: 1,234 in, 5 out")


def test_a_region_that_takes_no_clients_says_why(tokyo: Region, now: datetime) -> None:
    PeerHealth.objects.update(ready=False, error="401: the secret is another")
    (row,) = [row for row in region_rows(now) if not row.is_local]
    assert (row.health, row.level, row.problem) == ("down", "bad", "401: the secret is another")


def test_a_region_that_was_never_asked_and_one_that_is_disabled_are_shown(tokyo: Region, now: datetime) -> None:
    Region.objects.create(name="virginia", enabled=False)
    Region.objects.create(name="sydney", relay_urls=["wss://syd.example.com"])
    rows = {row.name: row for row in region_rows(now)}
    assert (rows["sydney"].health, rows["sydney"].heard, rows["sydney"].latency) == ("down", "never", "–")
    assert (rows["virginia"].health, rows["virginia"].level) == ("disabled", "")


def test_each_lane_is_shown_with_its_lag_and_throughput(tokyo: Region) -> None:
    urgent, _, low = lane_rows()
    assert urgent.cells == ("urgent", "up", "12", "1.2 s", "40.0/s", "0\xa0bytes/s", "0")
    assert (low.cells[1], low.level, low.problem) == ("down", "bad", "connection refused")


def test_the_page_costs_the_same_for_any_number_of_regions(
    tokyo: Region, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        Region.objects.create(name=f"region-{number}", latitude=number, longitude=number)
    with django_assert_num_queries(5):
        found = figures()
    assert len(found["markers"]) == 22


def test_a_region_without_a_place_is_named_below_the_map(tokyo: Region) -> None:
    Region.objects.create(name="nowhere")
    found = figures()
    assert found["unplaced"] == ["nowhere"]
    assert [marker.row.name for marker in found["markers"]] == ["frankfurt", "tokyo"]


def test_an_operator_sees_the_map_and_finds_it_in_the_side_bar(operator: Client, tokyo: Region) -> None:
    html = operator.get("/admin/regions/map/").content.decode()
    assert 'class="map-land" d="M' in html
    assert "tokyo: ok" in html
    assert "connection refused" in html
    assert 'href="/admin/regions/map/"' in operator.get("/admin/").content.decode()


def test_what_a_peer_says_is_text_and_no_markup(operator: Client, tokyo: Region) -> None:
    PeerHealth.objects.update(error="<script>alert(1)</script>")
    html = operator.get("/admin/regions/map/").content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_without_the_permission_there_is_no_map(client: Client) -> None:
    assert client.get("/admin/regions/map/").status_code == 302
    client.force_login(User.objects.create_user("other", is_staff=True))
    assert client.get("/admin/regions/map/").status_code == 403


def test_without_regions_the_page_says_so(operator: Client) -> None:
    assert "There are no regions" in operator.get("/admin/regions/map/").content.decode()


def test_a_database_that_does_not_answer_is_said(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_now: datetime) -> None:
        raise DatabaseError("canceling statement due to statement timeout")

    monkeypatch.setattr(page, "region_rows", fail)
    assert "canceling statement" in operator.get("/admin/regions/map/").content.decode()
