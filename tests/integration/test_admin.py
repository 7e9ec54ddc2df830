"""The admin over 20,000 events: nothing is counted, every search walks an index, nothing typed into it breaks it."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from relay.admin import paging
from relay.models import Event
from relay.protocol.nip19 import encode
from relay.storage import admin_queries
from tests.events import pubkey_of, secret, unsigned_event
from tests.integration.admin_pages import page
from tests.integration.storage.conftest import database  # noqa: F401
from tests.integration.storage.scribe import Scribe, Tables, entry

pytestmark = pytest.mark.django_db

EVENTS = 20_000
FIRST = 1_700_000_000
AUTHORS = [pubkey_of(secret(number)) for number in range(1, 21)]
HOSTILE = "<script>alert(1)</script>\x00 \u202eturned \u200bwide"
LIST = "/admin/relay/event/"
RESPONDED = 41
"""The number of the event that others respond to."""


def event_at(number: int) -> dict[str, Any]:
    """One event a second; every tenth a reaction, one tag that many have and one that few have."""
    tags = [["t", "common"], ["r", f"https://site.example/{number % 500}"], ["title", "not", "indexed"]]
    if number > EVENTS - 1_500:
        tags.append(["e", event_at(RESPONDED)["id"]])
    return unsigned_event(
        pubkey=AUTHORS[number % len(AUTHORS)],
        kind=7 if number % 10 == 0 else 1,
        content=HOSTILE if number == EVENTS - 1 else f"note {number}",
        tags=tags,
        created_at=FIRST + number,
    )


PROFILE = unsigned_event(pubkey=AUTHORS[3], kind=0, content=json.dumps({"name": "<i>Ann\ud800"}), created_at=FIRST - 2)
ARTICLE = unsigned_event(
    pubkey=AUTHORS[3], kind=30_023, content="an article", tags=[["d", "a d"]], created_at=FIRST - 1
)
NPUB = encode("npub", bytes.fromhex(AUTHORS[3]))
NEVENT = encode("nevent", b"\x00\x20" + bytes.fromhex(event_at(77)["id"]))
NADDR = encode("naddr", b"\x00\x03a d\x02\x20" + bytes.fromhex(AUTHORS[3]) + b"\x03\x04" + (30_023).to_bytes(4, "big"))


async def _store() -> None:
    scribe = Scribe(queue_events=EVENTS)
    scribe.writer.start()
    await scribe.write_entries([entry(event_at(number)) for number in range(EVENTS)])
    await scribe.write_entries([entry(event) for event in (PROFILE, ARTICLE)])
    await scribe.writer.stop(5)


@pytest.fixture(scope="module")
def stored(database: Tables) -> Iterator[Tables]:  # noqa: F811
    """20,000 events through the relay's own writer, once for these tests."""
    database.clear()
    asyncio.run(_store())
    database.connection.execute("ANALYZE relay_event, relay_tag, relay_change")
    yield database
    database.clear()


@pytest.fixture
def operator(stored: Tables, client: Client) -> Client:
    """A client that is signed in as the administrator."""
    client.force_login(User.objects.create(username="operator", is_staff=True, is_superuser=True))
    return client


def contents(html: str) -> list[str]:
    """What the list shows as content, from the top."""
    return re.findall(r'class="field-excerpt[^>]*><bdi class="relay-text">(.*?)</bdi>', html)


def node_types(plan: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Every node of a plan: its type, its table, and how many rows it gave in all."""
    yield plan["Node Type"], plan.get("Relation Name", ""), plan["Actual Rows"] * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from node_types(part)


def plans(captured: CaptureQueriesContext) -> list[tuple[str, list[tuple[str, str, float]]]]:
    """The relay's statements among those captured, each with the nodes of its plan."""
    found = []
    for query in captured.captured_queries:
        if "relay_" in query["sql"] and query["sql"].startswith("SELECT"):
            # A few heads stand on one page, which is read as a whole however good the index is.
            scans = "off" if "FROM relay_head" in query["sql"] else "on"
            with connection.cursor() as cursor:
                cursor.execute(f"SET enable_seqscan = {scans}")
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query['sql']}")
                (told,) = cursor.fetchone()
                cursor.execute("RESET enable_seqscan")
            decoded = told if isinstance(told, list) else json.loads(told)
            found.append((query["sql"], list(node_types(decoded[0]["Plan"]))))
    return found


SEARCHES = [
    {},
    {"p": "2"},
    {"o": "1"},
    {"q": AUTHORS[3]},
    {"q": event_at(77)["id"]},
    {"q": NPUB},
    {"q": NEVENT},
    {"q": NADDR},
    {"q": f"p:{NPUB}"},
    {"q": "kind:7"},
    {"q": f"author:{AUTHORS[3]} kind:1"},
    {"q": "t:common"},
    {"q": "t:common kind:7"},
    {"q": "r:https://site.example/7"},
    {"q": f"r:https://site.example/7 author:{AUTHORS[7]}"},
    {"q": "t:unused-tag"},
    {"q": f"since:{FIRST + 100} until:{FIRST + 5_000}"},
    {"q": f"kind:1 until:{FIRST + 5_000}"},
    {"kind": "7"},
    {"since": "2023-11-14T22:13", "until": "2023-11-15T00:00"},
    {"kind": "1", "q": "t:common", "o": "1"},
    {"q": f"t:common until:{FIRST + 1_000}"},
    {"q": "t:common", "until": "2023-11-14T22:20"},
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: " ".join(search.values())[:30] or "newest")
def test_a_list_of_events_is_the_walk_of_an_index(operator: Client, search: dict[str, str]) -> None:
    with CaptureQueriesContext(connection) as captured:
        page(operator, LIST, **search)
    read = plans(captured)

    assert read
    for sql, nodes in read:
        assert "COUNT(" not in sql.upper()
        assert not [node for node in nodes if node[0] == "Seq Scan"], sql
        assert not [node for node in nodes if node[2] > 1_100], sql


@pytest.mark.parametrize(
    "path, search",
    [
        ("/admin/relay/tag/", {}),
        ("/admin/relay/tag/", {"q": "t:common"}),
        ("/admin/relay/change/", {}),
        ("/admin/relay/change/", {"q": "500"}),
    ],
)
def test_tags_and_changes_are_walks_too(operator: Client, path: str, search: dict[str, str]) -> None:
    with CaptureQueriesContext(connection) as captured:
        page(operator, path, **search)

    for sql, nodes in plans(captured):
        assert "COUNT(" not in sql.upper()
        assert not [node for node in nodes if node[2] > 100], sql


def test_the_newest_are_on_top_and_older_ones_a_page_further(operator: Client) -> None:
    first, second = contents(page(operator, LIST)), contents(page(operator, LIST, p="2"))

    assert first[1:3] == [f"note {EVENTS - 2}", f"note {EVENTS - 3}"]
    assert second[0] == f"note {EVENTS - 51}"
    assert 'rel="next"' in page(operator, LIST)


def test_the_order_can_be_turned_round(operator: Client) -> None:
    assert contents(page(operator, LIST, o="1"))[1:4] == ["an article", "note 0", "note 1"]


def test_the_last_page_has_no_next_one(operator: Client) -> None:
    html = page(operator, LIST, q="r:https://site.example/7")

    assert len(contents(html)) == EVENTS // 500
    assert 'rel="next"' not in html


def test_turning_pages_has_an_end_that_says_what_to_do(operator: Client) -> None:
    html = page(operator, LIST, p=str(paging.MAX_PAGES))

    assert "search by time" in html
    assert operator.get(LIST, {"p": str(paging.MAX_PAGES + 1)}).status_code == 302


@pytest.mark.parametrize(
    "search, number",
    [
        ({"q": event_at(77)["id"]}, 77),
        ({"q": f"id:{event_at(77)['id']}"}, 77),
        ({"q": AUTHORS[3]}, EVENTS - 20 + 3),
        ({"q": NEVENT}, 77),
        ({"q": f"{NPUB} kind:1"}, EVENTS - 20 + 3),
        ({"q": "kind:7"}, EVENTS - 10),
        ({"kind": "7"}, EVENTS - 10),
        ({"q": "t:common", "o": "1"}, 0),
        ({"q": f"t:common since:{FIRST}", "until": "2023-11-14T22:13:30"}, 10),
        ({"q": "r:https://site.example/7"}, EVENTS - 500 + 7),
        ({"q": f"until:{FIRST + 5_000}"}, 5_000),
        ({"until": "2023-11-14T22:13:30"}, 10),
        ({"q": "kind:1", "since": "2023-11-14T22:13", "until": "2023-11-14T22:13:29"}, 9),
    ],
)
def test_a_search_finds_what_it_names(operator: Client, search: dict[str, str], number: int) -> None:
    assert contents(page(operator, LIST, **search))[0] == f"note {number}"


@pytest.mark.parametrize(
    "search", [{"q": "hello"}, {"q": "kind:x"}, {"kind": "-5"}, {"since": "tomorrow"}, {"q": "t:"}]
)
def test_a_search_that_cannot_be_is_answered_with_a_message(operator: Client, search: dict[str, str]) -> None:
    html = page(operator, LIST, **search)

    assert contents(html) == []
    assert re.search(r"is not (an id|a kind|a time)|Which value", html)


@pytest.mark.parametrize(
    "text", ["\x00", "' OR 1=1 --", "%", "a" * 10_000, "t:\x00", "kind:" + "9" * 5_000, '"', "é:x"]
)
@pytest.mark.parametrize("path", [LIST, "/admin/relay/tag/", "/admin/relay/change/"])
def test_nothing_typed_breaks_a_list(operator: Client, path: str, text: str) -> None:
    assert operator.get(path, {"q": text}).status_code == 200


def test_a_condition_by_hand_is_refused(operator: Client) -> None:
    assert operator.get(LIST, {"json__icontains": "x"}).status_code == 400


def test_a_search_that_takes_too_long_is_given_up_with_a_message(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Event.objects.extra(where=["pg_sleep(1) IS NOT NULL"])
    monkeypatch.setattr(paging, "rows_in_time", lambda rows: admin_queries.rows_in_time(events[:1], 0.05))

    assert "took too long" in page(operator, LIST)


def test_an_address_is_its_newest_version(operator: Client) -> None:
    assert contents(page(operator, LIST, q=NADDR)) == ["an article"]


def test_an_event_page_counts_the_newest_responses_and_reads_no_more(operator: Client) -> None:
    with CaptureQueriesContext(connection) as captured:
        html = page(operator, f"{LIST}{event_at(RESPONDED)['id']}/change/")

    assert [node for _, nodes in plans(captured) for node in nodes if node[0] == "Seq Scan" or node[2] > 1_000] == []
    assert re.search(r"Reactions</th><td><a [^>]*><bdi>100</bdi>", html)
    assert re.search(r"Reposts</th><td>0</td>", html)
    assert "Among the newest 1,000 references; there are more." in html


def test_an_author_has_its_names(operator: Client) -> None:
    html = page(operator, f"{LIST}{event_at(3)['id']}/change/")

    assert '<bdi class="relay-text">&lt;i&gt;Ann?</bdi>' in html
    assert NPUB in html


def test_a_list_names_authors_by_profile_and_npub(operator: Client) -> None:
    html = page(operator, LIST, q=AUTHORS[3])

    assert '<bdi class="relay-text">&lt;i&gt;Ann?</bdi>' in html
    assert f"{NPUB[:10]}…{NPUB[-4:]}" in html


def test_an_event_page_copies_id_key_and_json(operator: Client) -> None:
    html = page(operator, f"{LIST}{event_at(3)['id']}/change/")

    for copied in (event_at(3)["id"], NPUB, AUTHORS[3]):
        assert f'data-copy="{copied}"' in html
    assert 'aria-label="Copy JSON"' in html


def test_an_arrival_that_no_history_knows_is_unknown(operator: Client) -> None:
    assert re.search(r"Arrived \(UTC\).*?unknown", page(operator, f"{LIST}{event_at(3)['id']}/change/"), re.DOTALL)


def test_the_heading_keeps_the_case_of_an_id(operator: Client) -> None:
    number = next(number for number in range(EVENTS) if event_at(number)["id"][0] in "abcdef")
    html = page(operator, f"{LIST}{event_at(number)['id']}/change/")

    assert event_at(number)["id"] in html[html.index("<h1") : html.index("</h1>")]


def test_the_syntax_of_a_search_stands_below_its_field(operator: Client) -> None:
    html = page(operator, LIST)

    assert 'aria-describedby="searchbar-help"' in html
    assert "until:2026-02-01" in html[html.index('id="searchbar-help"') :]


def test_every_cell_of_a_list_has_the_label_of_its_column(operator: Client) -> None:
    assert re.findall(r'data-label="([^"]*)"', page(operator, LIST))[:4] == [
        "created (UTC)",
        "kind",
        "author",
        "content",
    ]


def test_an_event_page_shows_hostile_text_as_text(operator: Client) -> None:
    html = page(operator, f"{LIST}{event_at(EVENTS - 1)['id']}/change/")

    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;␀" in html
    assert "\\u202eturned \\u200bwide" in html
    assert "⟨U+202E⟩turned ⟨U+200B⟩wide" in html
    assert "\u202e" not in re.sub('data-copy="[^"]*"', "", html)
    assert 'href="/admin/relay/event/?q=t%3A%22common%22"' in html
    assert f"author%3A{AUTHORS[(EVENTS - 1) % 20]}" in html
    assert '<input type="submit" value="Save"' not in html
    assert 'name="_save"' not in html


@pytest.mark.parametrize("path", [f"{LIST}add/", f"{LIST}{event_at(5)['id']}/delete/", "/admin/relay/change/add/"])
def test_nothing_can_be_added_or_deleted(operator: Client, path: str) -> None:
    assert operator.post(path, {"post": "yes"}).status_code == 403


def test_nothing_can_be_changed(operator: Client) -> None:
    assert operator.post(f"{LIST}{event_at(5)['id']}/change/", {"kind": "2"}).status_code == 403


@pytest.mark.parametrize("path", ["/admin/relay/tag/{}/change/", "/admin/relay/event/{}/change/"])
def test_a_row_of_a_tag_leads_to_its_event(operator: Client, path: str) -> None:
    answer = operator.get(path.format(event_at(5)["id"]), follow=True)

    assert answer.status_code == 200
    assert "note 5" in answer.content.decode()


@pytest.mark.parametrize("path", ["/admin/relay/event/zz/change/", "/admin/relay/tag/ff/change/"])
def test_an_event_that_is_not_there_is_told(operator: Client, path: str) -> None:
    assert "doesn’t exist" in operator.get(path, follow=True).content.decode()


def test_a_change_leads_to_its_event(operator: Client) -> None:
    assert operator.get("/admin/relay/change/1/change/", follow=True).status_code == 200
    assert operator.get("/admin/relay/change/999999999/change/").status_code == 404


@pytest.mark.parametrize("path", ["/admin/", "/admin/auth/user/", "/admin/auth/user/add/", "/admin/auth/group/add/"])
def test_operators_and_their_groups_are_kept_here(operator: Client, path: str) -> None:
    assert page(operator, path)


def test_a_stranger_sees_the_login_page_alone(stored: Tables, client: Client) -> None:
    assert client.get(LIST).status_code == 302
