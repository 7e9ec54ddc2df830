"""The operators' pages of regions."""

import html
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from replication.models import DeadLetter, Lane, PeerHealth, PeerLane, Region, Repair
from replication.send.letters import CLASSES

pytestmark = pytest.mark.django_db

FORM = {
    "name": "us",
    "endpoint": "https://us.relay.example.com",
    "enabled": "on",
    "weight": "100",
    "relay_urls": '["wss://us.relay.example.com"]',
    "send": "all",
    "send_kinds": "[]",
    "send_authors": "[]",
    "own_only": "on",
}


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator", password="a password"))
    return client


def added(operator: Client, **changed: str) -> str:
    """The page after a region was added, or the form with its faults."""
    answer = operator.post("/admin/replication/region/add/", FORM | changed, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def shown_secret(page: str) -> str:
    found = re.search(r"<code>([\w-]{64})</code>", page)
    return found[1] if found else ""


def test_a_new_peer_gets_a_secret_that_is_shown_once_and_lanes(operator: Client) -> None:
    secret = shown_secret(added(operator))
    region = Region.objects.get(name="us")
    assert region.secrets() == (secret,)
    assert set(region.lanes.values_list("lane", flat=True)) == set(Lane.values)
    page = operator.get(f"/admin/replication/region/{region.pk}/change/").content.decode()
    assert secret not in page
    assert secret not in operator.get("/admin/replication/region/").content.decode()


def test_the_secret_of_the_other_side_may_be_entered(operator: Client) -> None:
    page = added(operator, secret="the secret that us has made: 0123456789")
    assert shown_secret(page) == ""
    assert Region.objects.get(name="us").secrets() == ("the secret that us has made: 0123456789",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "short"},
        {"endpoint": ""},
        {"endpoint": "https://us.relay.example.com/path"},
        {"endpoint": "ftp://us.relay.example.com"},
        {"relay_urls": '["https://us.relay.example.com"]'},
        {"send_kinds": "[70000]"},
        {"send_authors": '["npub"]'},
        {"latitude": "91"},
        {"weight": "0"},
    ],
    ids=str,
)
def test_what_is_wrong_is_said(operator: Client, wrong: dict[str, str]) -> None:
    answer = operator.post("/admin/replication/region/add/", FORM | wrong)
    (said,) = answer.context["adminform"].form.errors.values()
    assert html.unescape(answer.content.decode()).count(str(said.as_data()[0].messages[0]))
    assert not Region.objects.filter(name="us").exists()


def test_a_rotation_keeps_the_secret_before_valid(operator: Client) -> None:
    first = shown_secret(added(operator))
    region = Region.objects.get(name="us")
    answer = operator.post(
        "/admin/replication/region/", {"action": "rotate", "_selected_action": [region.pk]}, follow=True
    )
    region.refresh_from_db()
    assert region.secrets() == (shown_secret(answer.content.decode()), first)


def test_the_lists_show_what_is_known_of_a_peer(operator: Client) -> None:
    added(operator)
    region = Region.objects.get(name="us")
    PeerHealth.objects.create(peer=region, error="does not answer: refused", latency_ms=41.5, capacity=20_000)
    PeerLane.objects.filter(peer=region, lane="low").update(lag_events=1_234, lag_seconds=5.5, last_error="<b>down</b>")
    Repair.objects.create(peer=region, windows=7, compared=70_007, received=3)
    DeadLetter.objects.create(
        peer=region, event_id="a" * 64, event_created_at=1, kind=1, reason_class="invalid", reason="invalid: <b>no</b>"
    )
    regions = operator.get("/admin/replication/region/").content.decode()
    lanes = operator.get("/admin/replication/peerlane/").content.decode()
    letters = operator.get("/admin/replication/deadletter/").content.decode()
    repairs = operator.get("/admin/replication/repair/").content.decode()

    assert "does not answer: refused" in regions
    assert "41.5 ms" in regions
    assert "1,234" in lanes
    assert "&lt;b&gt;down&lt;/b&gt;" in lanes
    assert "invalid: &lt;b&gt;no&lt;/b&gt;" in letters
    assert "70007" in repairs.replace(",", "")


def reason_of(reason_class: str, number: int) -> str:
    return f"{reason_class}: <i>{number}</i> \u202e{'long ' * 40}"


def test_the_page_of_dead_letters_shows_many_of_each_reason(
    operator: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    added(operator)
    peers = [Region.objects.get(name="us"), Region.objects.create(name="asia", endpoint="https://asia.example.com")]
    classes = [*sorted(CLASSES), "other"]
    letters = [
        DeadLetter.objects.create(
            peer=peer, event_id=f"{place:02x}{number:02x}{peer.pk % 256:02x}" + "f" * 58, event_created_at=1,
            kind=[1, 5, 30_023][number], reason_class=reason_class, reason=reason_of(reason_class, number),
            tries=number + 1,
        )
        for peer in peers
        for place, reason_class in enumerate(classes)
        for number in range(3)
    ]  # fmt: skip

    with django_assert_max_num_queries(12):
        page = operator.get("/admin/replication/deadletter/").content.decode()

    assert len(letters) == 2 * 3 * len(classes)
    for letter in letters:
        assert f"/admin/relay/event/{letter.event_id}/change/" in page
    for reason_class in classes:
        shown = re.findall(rf"{reason_class}: &lt;i&gt;(\d)&lt;/i&gt;", page)
        assert sorted(shown) == sorted("012" * 2), reason_class
    assert "<i>" not in page.replace("<i></i>", "")
    for reason_class in classes:
        chosen = operator.get(f"/admin/replication/deadletter/?reason_class__exact={reason_class}").content.decode()
        linked = re.findall(r"/admin/relay/event/(\w{64})/change/", chosen)
        assert sorted(linked) == sorted(each.event_id for each in letters if each.reason_class == reason_class)
    found = operator.get(f"/admin/replication/deadletter/?q={letters[0].event_id}").content.decode()
    assert re.findall(r"/admin/relay/event/(\w{64})/change/", found) == [letters[0].event_id]


def test_a_removed_number_is_never_given_again(operator: Client) -> None:
    added(operator)
    first = Region.objects.get(name="us").pk
    Region.objects.all().delete()
    added(operator)
    assert Region.objects.get(name="us").pk > first
