"""The number of stored events is exact at every moment, or unknown; when an event arrived is known to the minute."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.arrival import arrived
from analytics.models import Minute
from relay.models import Event
from tests.events import NOW, unsigned_event
from tests.integration.analytics.ledger import Ledger

pytestmark = pytest.mark.django_db(transaction=True)


def counted() -> int | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT analytics_event_count()")
        return cursor.fetchone()[0]  # type: ignore[no-any-return]


def stored(ledger: Ledger) -> int:
    return int(ledger.rows("SELECT count(*) AS n FROM relay_event")[0]["n"])


def notes(count: int, content: str = "") -> list[dict[str, Any]]:
    return [unsigned_event(content=f"{content}{number}", created_at=NOW - number) for number in range(count)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["publish", "replace", "remove", "follow", "hide", "step"]), max_size=12))
def test_it_is_the_number_of_rows_whatever_happened_and_however_far_the_roll_up_is(
    ledger: Ledger, steps: list[str]
) -> None:
    ledger.clear()
    present: list[dict[str, Any]] = []
    for number, step in enumerate(steps):
        if step == "publish":
            present += (made := notes(3, f"{number} "))
            ledger.publish(*made)
        elif step == "replace":
            ledger.publish(unsigned_event(kind=0, content=str(number), created_at=NOW + number))
        elif step == "remove" and present:
            ledger.remove(present.pop())
        elif step == "hide":
            ledger.tables.rows(
                "SELECT relay_retention_set('{\"{[1,2)}\"}'::int4multirange[], ARRAY[%s]::bigint[], '{false}')",
                NOW - 1 + number % 2,
            )
        elif step == "step":
            ledger.tables.rows("SELECT relay_retention_step(2)")
        elif step == "follow":
            ledger.follow()
        assert counted() == stored(ledger)


def test_it_is_known_before_the_first_roll_up(ledger: Ledger) -> None:
    ledger.publish(*notes(4))
    ledger.tables.connection.execute("UPDATE analytics_cursor SET epoch = 0, position = 0, events = 0")

    assert counted() == 4


def test_a_hole_between_roll_up_and_log_is_no_number_that_is_wrong(ledger: Ledger) -> None:
    ledger.publish(*notes(4))
    ledger.tables.connection.execute("DELETE FROM relay_change WHERE seq <= 2")

    assert counted() == 4  # counted, because the log is short


def minute(number: int, position: int) -> datetime:
    at = datetime.fromtimestamp(NOW // 60 * 60 + 60 * number, UTC)
    Minute.objects.create(minute=at, position=position)
    return at


def test_an_event_arrived_in_the_minute_whose_position_covers_it(ledger: Ledger) -> None:
    ledger.publish(*notes(2, "before"))
    minute(-1, 2)
    event, *_ = made = notes(3)
    ledger.publish(*made)
    at = minute(0, 5)
    minute(1, 5)

    assert arrived(Event.objects.get(id=event["id"])) == f"{at:%Y-%m-%d %H:%M}, to the minute"


@pytest.mark.parametrize("created_at", [NOW - 86_400, 2**62])
def test_an_event_of_another_time_is_not_looked_for(ledger: Ledger, created_at: int) -> None:
    event = unsigned_event(created_at=created_at)
    ledger.publish(event)
    minute(0, 1)

    assert arrived(Event.objects.get(id=event["id"])) == ""
