"""Popular events and the other views in the admin: what strangers wrote is ranked, and is text."""

import json
import re
import time
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from analytics.refresh import refresh
from analytics.registry import VIEWS
from tests.events import unsigned_event
from tests.integration.admin_pages import page
from tests.integration.analytics.conftest import ledger  # noqa: F401  a fixture
from tests.integration.analytics.ledger import Ledger
from tests.integration.analytics.people import note, person, reaction, report
from tests.integration.storage.conftest import database  # noqa: F401  a fixture

POPULAR = "/admin/analytics/popularevent/"
HOSTILE = "<script>alert(1)</script> \u202eturned \u200b" + "x" * 5_000


@pytest.fixture
def operator(ledger: Ledger, client: Client) -> Iterator[Client]:  # noqa: F811
    """Signed in, before two popular notes: a hostile one of five days ago, and a newer one of fewer people."""
    now = int(time.time())
    ledger.at(now)
    hostile, newer = (
        note(1, now - 5 * 86_400, content=HOSTILE),
        note(2, now - 600, content="newer #tea", tags=[["t", "tea"]]),
    )
    profile = unsigned_event(pubkey=person(1), kind=0, content=json.dumps({"name": "<b>Eve"}), created_at=now)
    reactions = [reaction(number, hostile, now - 60) for number in range(10, 30)]
    reactions += [reaction(number, newer, now - 60) for number in range(10, 25)]
    tagged = [note(number, now - 60, content="tea", tags=[["t", "tea"]]) for number in range(3, 7)]
    ledger.publish(profile, hostile, newer, *reactions, *tagged, report(9, now, ["p", person(1), "<i>spam"]))
    ledger.follow()
    for view in VIEWS:
        refresh(view)
    client.force_login(User.objects.create(username="operator", is_staff=True, is_superuser=True))
    yield client
    User.objects.all().delete()


def rows(html: str) -> list[str]:
    return re.findall(r'<td[^>]*field-note[^>]*>.*?<bdi class="relay-text">(.*?)</bdi>', html, re.DOTALL)


def test_the_operators_views_are_ranked_filtered_and_never_more_than_text(operator: Client) -> None:
    with CaptureQueriesContext(connection) as captured:
        html = page(operator, POPULAR)

    first, second = rows(html)
    assert first.startswith("&lt;script&gt;alert(1)&lt;/script&gt; ⟨U+202E⟩turned")
    assert (first[-1], second) == ("…", "newer #tea")
    assert "<script>alert" not in html
    assert '<bdi class="relay-text">&lt;b&gt;Eve</bdi>' in html
    assert "done" in html  # the last refresh
    assert len(captured) < 25

    assert rows(page(operator, POPULAR, days="1")) == ["newer #tea"]
    assert len(rows(page(operator, POPULAR, kind="1"))) == 2
    assert rows(page(operator, POPULAR, kind="7")) == []

    assert "t%3A%22tea%22" in page(operator, "/admin/analytics/trendinghashtag/")
    assert f"author%3A{person(10)}" in page(operator, "/admin/analytics/activeauthor/")
    assert f"author%3A{person(1)}" in page(operator, "/admin/analytics/reportedtarget/")
    assert "<i>spam" not in page(operator, "/admin/analytics/reportedtarget/")
    assert page(operator, "/admin/analytics/storegrowth/")

    first_page = page(operator, "/admin/")
    assert "&lt;script&gt;alert(1)" in first_page
    assert "7 · Reaction" in first_page
