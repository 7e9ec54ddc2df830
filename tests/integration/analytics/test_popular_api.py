"""`GET /api/popular`: what it answers, how it may be kept, and what it never shows."""

from collections.abc import Iterator

import pytest
from django.test import Client

from analytics.views import popular as popular_view
from analytics.views.popular import answers
from tests.events import NOW
from tests.integration.analytics.ledger import Ledger
from tests.integration.analytics.people import Json, note, reaction

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client() -> Iterator[Client]:
    answers.clear()
    yield Client()
    answers.clear()


def loved(ledger: Ledger, people: int, age: int = 9, **fields: object) -> Json:
    one = note(1, NOW - age, content=f"{people} & 😀 </script>", **fields)
    ledger.publish(one, *[reaction(n, one, NOW) for n in range(2, 2 + people)])
    ledger.follow()
    ledger.view("popular_events")
    return one


def ids(client: Client, question: str = "") -> list[str]:
    return [row["event"]["id"] for row in client.get(f"/api/popular{question}").json()["events"]]


def test_the_events_come_in_their_order_with_their_counts(client: Client, ledger: Ledger) -> None:
    less, more = loved(ledger, 11), loved(ledger, 13)

    answer = client.get("/api/popular")

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["refreshed_at"] > NOW
    first = {"rank": 1, "people": 13, "reactions": 13, "reposts": 0, "replies": 0, "zaps": 0, "event": more}
    assert answer.json()["events"][0] == first
    assert [row["event"]["id"] for row in answer.json()["events"]] == [more["id"], less["id"]]


def test_nothing_is_an_answer_too(client: Client, ledger: Ledger) -> None:
    ledger.view("popular_events")
    assert client.get("/api/popular").json()["events"] == []


def test_period_and_limit_narrow_it(client: Client, ledger: Ledger) -> None:
    old, new = loved(ledger, 14, age=7_200), loved(ledger, 12)
    assert ids(client) == ids(client, "?period=day&kind=1") == [old["id"], new["id"]]
    assert ids(client, "?period=hour") == [new["id"]]
    assert ids(client, "?limit=1") == [old["id"]]


def test_a_wrong_parameter_is_named(client: Client) -> None:
    answer = client.get("/api/popular?limit=0")
    assert (answer.status_code, answer.json()) == (400, {"error": "limit must be from 1 to 100"})
    assert answer.headers["Cache-Control"] == "no-store"


def test_who_has_it_is_told_so(client: Client, ledger: Ledger) -> None:
    loved(ledger, 11)
    first = client.get("/api/popular")
    again = client.get("/api/popular", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    for answer in (first, again):
        assert answer.headers["Cache-Control"] == "public, max-age=60"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    answers.clear()
    loved(ledger, 12)
    assert client.get("/api/popular", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_pages_of_other_sites_may_read_and_no_client_may_post(client: Client) -> None:
    assert client.options("/api/popular").status_code == 204
    assert client.post("/api/popular").status_code == 405


def test_what_was_removed_or_expired_since_the_refresh_is_not_shown(
    client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(popular_view, "KEPT_SECONDS", 0.0)
    stays, goes = loved(ledger, 11), loved(ledger, 12)
    loved(ledger, 13, tags=[["expiration", str(NOW + 9)]])  # by the clock of the view it is still there
    assert set(ids(client)) == {stays["id"], goes["id"]}
    ledger.remove(goes)
    assert ids(client) == [stays["id"]]


def test_the_database_is_asked_once_for_many_who_ask_the_same(client: Client, ledger: Ledger) -> None:
    one = loved(ledger, 11)
    before = ids(client)
    ledger.remove(one)
    assert ids(client) == before == [one["id"]]
