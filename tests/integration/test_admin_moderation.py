"""Operators moderate in the admin: each task by its permission, its reason in the log of actions, all text inert."""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.utils.http import urlencode

from analytics.operator_groups import GROUPS, install
from relay.admin.moderation_tasks import TASKS
from relay.models import ListEntry
from relay.services import moderation
from relay.services.retention import stored_retention
from tests.events import pubkey_of, secret, unsigned_event
from tests.integration.admin_pages import page
from tests.integration.storage.conftest import database, tables  # noqa: F401
from tests.integration.storage.scribe import Scribe, Tables, entry

pytestmark = pytest.mark.django_db(transaction=True)

NOW = int(time.time())
AUTHOR, REPORTERS = pubkey_of(secret(1)), [pubkey_of(secret(number)) for number in range(2, 6)]
HOSTILE = "<script>alert(1)</script> \u202eturned"
NOTE = unsigned_event(pubkey=AUTHOR, content=HOSTILE, created_at=NOW - 60)
REPORTS = [
    *(
        unsigned_event(
            pubkey=key, kind=1984, content=HOSTILE, created_at=NOW - 30,
            tags=[["e", NOTE["id"], "spam"], ["p", AUTHOR]],
        )
        for key in REPORTERS[:3]
    ),
    unsigned_event(pubkey=REPORTERS[3], kind=1984, created_at=NOW - 20, tags=[["p", REPORTERS[0], "impersonation"]]),
    unsigned_event(pubkey=REPORTERS[3], kind=1984, created_at=NOW - 20, tags=[["p", "not a key"], ["e"]]),
]  # fmt: skip


async def _store() -> None:
    scribe = Scribe()
    scribe.writer.start()
    await scribe.write(NOTE, *REPORTS)
    await scribe.writer.stop(5)


@pytest.fixture
def stored(tables: Tables) -> Iterator[Tables]:  # noqa: F811
    asyncio.run(_store())
    yield tables
    tables.clear()


@pytest.fixture
def operator(stored: Tables, client: Client) -> Client:
    client.force_login(User.objects.create(username="operator", is_staff=True, is_superuser=True))
    return client


def of_group(client: Client, name: str) -> Client:
    install()
    user = User.objects.create(username=name, is_staff=True)
    user.groups.add(Group.objects.get(name=name))
    client.force_login(user)
    return client


def do(client: Client, task: str, **given: Any) -> int:
    return client.post(f"/admin/relay/bannedkey/do/{task}/", given).status_code


def queue(client: Client) -> str:
    """The rows of the queue of reports."""
    return page(client, "/admin/relay/report/").partition("<tbody>")[2]


def actions() -> list[tuple[str, str]]:
    return [(one.object_repr, one.change_message) for one in LogEntry.objects.order_by("pk")]


def listed() -> set[tuple[str, str]]:
    return set(ListEntry.objects.filter(removed=False).values_list("list", "key"))


def test_an_event_is_removed_with_its_reason_in_the_log(operator: Client, stored: Tables) -> None:
    assert "Remove event" in page(operator, f"/admin/relay/event/{NOTE['id']}/change/")
    assert do(operator, "remove-event", target=NOTE["id"], reason="illegal") == 302
    assert NOTE["id"] not in stored.ids()
    assert stored.log()[-1][1:] == ("-", NOTE["id"])
    assert actions() == [(NOTE["id"], "Event removed. Reason: illegal")]
    assert "illegal" in page(operator, "/admin/relay/removedevent/")


def test_a_key_is_banned_and_the_ban_lifted(operator: Client, stored: Tables) -> None:
    assert do(operator, "ban-key", target=AUTHOR, reason=HOSTILE, days=0, remove="on") == 302
    assert NOTE["id"] not in stored.ids()
    html = page(operator, "/admin/relay/bannedkey/")
    assert "for ever" in html
    assert "<script>alert" not in html
    assert do(operator, "unban-key", target=AUTHOR, reason="") == 302
    assert ("banned_key", AUTHOR) not in listed()
    assert [details for _, details in actions()][-1] == "Ban lifted."


def test_the_order_lock_of_all_writers_is_held_for_one_statement_of_an_operator(operator: Client) -> None:
    """Within a transaction of several round trips every writer would wait for this machine."""
    seen: dict[str, bool] = {}

    def watch(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if found := re.match(r"SELECT (relay_(?:list_put|ban_key|ban_event|unban_event))\(", sql):
            seen[found[1]] = context["connection"].in_atomic_block
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(watch):
        assert do(operator, "ban-key", target=AUTHOR, reason="spam", days=0, remove="on") == 302
        assert do(operator, "remove-event", target=NOTE["id"], reason="spam") == 302
        assert do(operator, "allow-event", target=NOTE["id"], reason="") == 302

    assert seen == dict.fromkeys(("relay_ban_key", "relay_list_put", "relay_ban_event", "relay_unban_event"), False)


def test_a_ban_for_some_days_ends(operator: Client) -> None:
    assert do(operator, "ban-key", target=AUTHOR, reason="spam", days=3) == 302
    ends = ListEntry.objects.get(list="banned_key").until
    assert abs(ends - time.time() - 3 * 86_400) < 60


def test_addresses_kinds_and_allowed_keys_are_listed_and_lifted(operator: Client) -> None:
    assert do(operator, "block-address", target="::ffff:192.0.2.9", reason="flood", days=0) == 302
    assert do(operator, "set-kind", target="30023", rule="deny", reason="no articles") == 302
    assert do(operator, "allow-key", target=AUTHOR, reason="member") == 302
    assert listed() == {("blocked_network", "192.0.2.9"), ("denied_kind", "30023"), ("allowed_key", AUTHOR)}
    for path in ("blockednetwork", "kindrule", "allowedkey"):
        assert "relay-task" in page(operator, f"/admin/relay/{path}/")
    assert do(operator, "unblock-address", target="192.0.2.9", reason="") == 302
    assert do(operator, "forget-kind", target="30023", reason="") == 302
    assert do(operator, "unallow-key", target=AUTHOR, reason="") == 302
    assert listed() == set()


def test_retention_rules_are_listed_in_one_form_and_lifted(operator: Client) -> None:
    assert do(operator, "add-retention", target=" 7,6 others 30d", reason="space") == 302
    assert listed() == {("retention", "6-7 others 30d")}
    assert "6-7 others 30d" in page(operator, "/admin/relay/retentionrule/")
    assert stored_retention().published() == [{"kinds": [[6, 7]], "time": 30 * 86_400}]
    assert do(operator, "lift-retention", target="6-7 others 30d", reason="") == 302
    assert listed() == set()


@pytest.mark.parametrize(
    "task, given",
    [
        ("ban-key", {"target": "no-key", "reason": "x", "days": 0}),
        ("remove-event", {"target": "zz" * 32, "reason": "x"}),
        ("block-address", {"target": "0.0.0.0/0", "reason": "x", "days": 0}),
        ("set-kind", {"target": 70_000, "rule": "deny", "reason": "x"}),
        ("ban-key", {"target": AUTHOR, "reason": "", "days": 0}),
        ("add-retention", {"target": "0 30d", "reason": "x"}),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(operator: Client, task: str, given: dict[str, Any]) -> None:
    answer = operator.post(f"/admin/relay/bannedkey/do/{task}/", given)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert (listed(), actions()) == (set(), [])


def test_the_queue_groups_reports_by_target_and_shows_what_they_say_as_text(operator: Client) -> None:
    html = page(operator, "/admin/relay/report/")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; ⟨U+202E⟩turned" in html
    rows = re.findall(r"<tr>.*?</tr>", html.partition("<tbody>")[2], re.DOTALL)
    assert len(rows) == 2
    assert 'data-label="Reporters">3 ·' in rows[0]
    assert "spam 3" in rows[0]
    assert "impersonation 1" in rows[1]


async def _write(*events: dict[str, Any]) -> None:
    scribe = Scribe()
    scribe.writer.start()
    await scribe.write(*events)
    await scribe.writer.stop(5)


def test_of_an_event_that_is_not_stored_no_key_is_offered_to_be_banned(operator: Client) -> None:
    missing, innocent = "ab" * 32, pubkey_of(secret(9))
    report = unsigned_event(pubkey=AUTHOR, kind=1984, created_at=NOW, tags=[["e", missing, "spam"], ["p", innocent]])
    asyncio.run(_write(report))
    (row,) = [row for row in queue(operator).split("</tr>") if missing in row]
    assert "close-report" in row
    assert "ban-key" not in row


def test_long_reports_are_left_out(operator: Client) -> None:
    target = "cd" * 32
    tags = [["e", target, "spam"], *[["p", AUTHOR]] * 300]
    asyncio.run(_write(unsigned_event(pubkey=AUTHOR, kind=1984, created_at=NOW, tags=tags)))
    assert target not in queue(operator)


def test_a_closed_report_leaves_the_queue_until_it_is_reported_again(operator: Client, stored: Tables) -> None:
    assert do(operator, "close-report", target=NOTE["id"], reason="harmless") == 302
    assert NOTE["id"] not in queue(operator)
    again = unsigned_event(pubkey=AUTHOR, kind=1984, created_at=int(time.time()) + 60, tags=[["e", NOTE["id"]]])

    async def report() -> None:
        scribe = Scribe()
        scribe.writer.start()
        await scribe.write_entries([entry(again)])
        await scribe.writer.stop(5)

    asyncio.run(report())
    assert NOTE["id"] in queue(operator)


def test_removing_an_event_closes_its_report(operator: Client) -> None:
    do(operator, "remove-event", target=NOTE["id"], reason="spam")
    assert NOTE["id"] not in queue(operator)


def test_a_viewer_may_do_nothing_and_sees_no_button(stored: Tables, client: Client) -> None:
    viewer = of_group(client, "Viewer")
    assert "Remove event" not in page(viewer, f"/admin/relay/event/{NOTE['id']}/change/")
    for task in TASKS:
        assert viewer.get(f"/admin/relay/bannedkey/do/{task}/").status_code == 403
    for path in ("report", "connection", "bannedkey"):
        assert viewer.get(f"/admin/relay/{path}/").status_code == 403


def test_an_operator_who_may_remove_events_alone_sees_that_button_alone(stored: Tables, client: Client) -> None:
    viewer = of_group(client, "Viewer")
    remover = User.objects.get(username="Viewer")
    remover.user_permissions.add(Permission.objects.get(codename="add_removedevent"))
    shown = page(viewer, f"/admin/relay/event/{NOTE['id']}/change/")
    assert "Remove event" in shown
    assert "Ban author" not in shown


def test_a_moderator_may_remove_and_ban_and_sees_the_log(stored: Tables, client: Client) -> None:
    moderator = of_group(client, "Moderator")
    for path in ("report", "connection", "bannedkey", "removedevent", "blockednetwork"):
        assert moderator.get(f"/admin/relay/{path}/").status_code == 200
    assert do(moderator, "remove-event", target=NOTE["id"], reason="spam") == 302
    assert "spam" in page(moderator, "/admin/admin/logentry/")
    assert moderator.get("/admin/relay/bannedkey/do/set-kind/").status_code == 403


def test_every_permission_of_groups_and_tasks_exists(stored: Tables) -> None:
    existing = {
        f"{one.content_type.app_label}.{one.codename}" for one in Permission.objects.select_related("content_type")
    }
    wanted = {code for codes in GROUPS.values() for code in codes} | {task.permission for task in TASKS.values()}
    assert wanted - existing == set()


def test_a_task_returns_to_pages_of_this_site_alone(operator: Client) -> None:
    for given, expected in (("https://evil.example/", "/admin/relay/report/"), ("/admin/", "/admin/")):
        query = urlencode({"target": NOTE["id"], "next": given})
        answer = operator.post(
            f"/admin/relay/bannedkey/do/close-report/?{query}", {"target": NOTE["id"], "reason": "", "next": given}
        )
        assert answer["Location"] == expected


def test_an_unknown_task_is_not_found(operator: Client) -> None:
    assert operator.get("/admin/relay/bannedkey/do/nothing/").status_code == 404


def test_the_keys_of_the_operator_are_protected_in_the_admin_too(operator: Client, settings: Any) -> None:
    settings.RELAY_PUBKEY = AUTHOR
    assert do(operator, "ban-key", target=AUTHOR, reason="x", days=0) == 400
    assert moderation.protected_keys() == {AUTHOR}
