"""The roll-up follows the log, leaves no gap and no double wherever it is killed, and can be made anew."""

from typing import Any

import pytest
from django.db import connection, transaction

from analytics import pages, pruning, rollup
from analytics.cursor import Cursor
from analytics.job_runs import Skipped
from analytics.popularity import DAY_SECONDS, REPORT_SECONDS, WINDOW_SECONDS, window_begin
from relay.storage import retention
from tests.events import NOW, unsigned_event
from tests.integration.analytics.ledger import Ledger
from tests.integration.analytics.people import note, person, reaction, report

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = NOW // 3_600 * 3_600
DAY = NOW // DAY_SECONDS * DAY_SECONDS


class Killed(Exception):
    """The process went away."""


def week(count: int) -> list[dict[str, Any]]:
    """Notes, each with a reaction, of several people over the days of the window."""
    notes = [note(n % 5 + 1, NOW - n * 7_000, content=str(n)) for n in range(count)]
    return [event for n, one in enumerate(notes) for event in (one, reaction(n % 3 + 6, one, NOW - n))]


def test_what_was_published_is_counted_once(ledger: Ledger) -> None:
    ledger.publish(note(1, NOW), note(1, NOW, content="2"), note(2, NOW - DAY_SECONDS))
    ledger.follow()
    ledger.follow()
    assert ledger.rows("SELECT hour, kind, events FROM analytics_kind_hour ORDER BY hour") == [
        {"hour": HOUR - DAY_SECONDS, "kind": 1, "events": 1},
        {"hour": HOUR, "kind": 1, "events": 2},
    ]
    assert ledger.rows("SELECT day, pubkey, events FROM analytics_author_day ORDER BY day") == [
        {"day": DAY - DAY_SECONDS, "pubkey": person(2), "events": 1},
        {"day": DAY, "pubkey": person(1), "events": 2},
    ]


def test_what_was_removed_is_taken_out_of_the_counts(ledger: Ledger) -> None:
    stays, goes = note(1, NOW), report(2, NOW, ["p", person(3), "spam"])
    ledger.publish(stays, goes)
    ledger.follow()
    ledger.remove(goes)
    ledger.follow()
    once = ledger.content()
    ledger.clear()
    ledger.publish(stays)
    ledger.follow()
    assert ledger.content() == once


def test_what_a_key_wrote_before_it_vanished_is_taken_out_in_pieces(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "REMOVED_AT_ONCE", 2)
    ledger.publish(note(2, NOW), *[note(1, NOW - age, content=str(age)) for age in range(6)])
    ledger.follow()
    with transaction.atomic():
        pages.write(pages.Page(vanished=[(bytes.fromhex(person(1)), NOW - 1)]), NOW)
    assert ledger.rows("SELECT created_at FROM analytics_recent") == [{"created_at": NOW}] * 2
    assert ledger.rows("SELECT sum(events) AS events FROM analytics_kind_hour") == [{"events": 2}]


@pytest.mark.parametrize("page", [1, 2, 3, 1_000])
def test_an_event_that_went_and_came_back_is_counted_once_however_the_log_is_cut(ledger: Ledger, page: int) -> None:
    event = note(1, NOW)
    ledger.publish(event)
    ledger.remove(event)
    ledger.publish(event)
    ledger.follow(page)
    assert [row["events"] for row in ledger.rows("SELECT events FROM analytics_kind_hour")] == [1]


def test_a_version_that_was_replaced_is_not_counted(ledger: Ledger) -> None:
    ledger.publish(note(1, NOW - 1, kind=0, content="a"))
    ledger.follow()
    ledger.publish(note(1, NOW, kind=0, content="b"))
    ledger.follow()
    assert ledger.rows("SELECT sum(events) AS n FROM analytics_kind_hour") == [{"n": 1}]


@pytest.mark.parametrize("page", [1, 7, 1_000])
def test_pages_of_any_size_lead_to_the_same_rows(ledger: Ledger, page: int) -> None:
    events = week(20)
    ledger.publish(*events)
    ledger.remove(*events[::7])
    ledger.follow()
    expected = ledger.content()
    ledger.tables.connection.execute("UPDATE analytics_cursor SET epoch = 0")
    ledger.follow(page)
    assert ledger.content() == expected


@pytest.mark.parametrize("place", ["write", "move"])
def test_a_run_that_is_killed_anywhere_leaves_no_gap_and_no_double(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    events = week(20)
    ledger.publish(*events)
    owner: Any = rollup if place == "write" else Cursor
    real, calls = getattr(owner, place), 0

    def dies_the_third_time(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        found = real(*args)
        if calls == 3:
            raise Killed
        return found

    with monkeypatch.context() as patch:
        patch.setattr(owner, place, dies_the_third_time)
        with pytest.raises(Killed):
            ledger.follow(page=5)
    ledger.follow(page=5)
    assert ledger.rows("SELECT sum(events) AS n FROM analytics_kind_hour") == [{"n": len(events)}]
    assert ledger.rows("SELECT position, events FROM analytics_cursor") == [{"position": 40, "events": 40}]


def test_a_scan_that_is_killed_goes_on_where_it_was(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    events = week(20)
    ledger.publish(*events)
    ledger.follow()
    expected = ledger.content()
    ledger.tables.connection.execute("UPDATE analytics_cursor SET epoch = 0")
    for _ in range(4):
        rollup.step(page=5)
    ledger.publish(note(4, NOW, content="while it was read"))
    ledger.remove(events[0])
    ledger.follow(page=5)
    ledger.publish(events[0])
    ledger.remove(note(4, NOW, content="while it was read"))
    ledger.follow()
    assert ledger.content() == expected


def test_a_log_that_was_pruned_beyond_the_cursor_is_no_gap(ledger: Ledger) -> None:
    ledger.publish(*week(5))
    ledger.follow()
    ledger.publish(*week(20))
    ledger.tables.connection.execute("DELETE FROM relay_change WHERE seq < 30")
    ledger.follow()
    assert ledger.rows("SELECT sum(events) AS n FROM analytics_kind_hour") == [{"n": 40}]
    assert ledger.rows("SELECT position, events FROM analytics_cursor") == [{"position": 40, "events": 40}]


def test_a_store_that_is_behind_the_roll_up_is_read_anew(ledger: Ledger) -> None:
    ledger.publish(*week(5))
    ledger.follow()
    ledger.tables.clear()
    ledger.follow()
    assert not any(ledger.content().values())


def test_counts_before_the_window_outlive_a_scan_and_those_in_it_are_made_anew(ledger: Ledger) -> None:
    old = window_begin(NOW) - 3_600
    ledger.publish(note(1, NOW))
    ledger.follow()
    ledger.tables.connection.execute("INSERT INTO analytics_kind_hour VALUES (%s, 1, 7)", [old])
    ledger.tables.connection.execute("UPDATE analytics_kind_hour SET events = 99 WHERE hour > %s", [old])
    ledger.tables.connection.execute("UPDATE analytics_cursor SET epoch = 0")
    ledger.follow()
    counts = ledger.rows("SELECT hour, events FROM analytics_kind_hour ORDER BY hour")
    assert counts == [{"hour": old, "events": 7}, {"hour": HOUR, "events": 1}]


def test_a_scan_reads_reports_from_further_back_than_events(ledger: Ledger) -> None:
    before = NOW - REPORT_SECONDS
    ledger.publish(*[report(n, before + n, ["p", person(9), "spam"]) for n in range(1, 8)], note(1, before + 9))
    ledger.tables.connection.execute("UPDATE analytics_cursor SET epoch = 0")
    ledger.follow(page=3)
    assert ledger.rows("SELECT count(*) AS n FROM analytics_report") == [{"n": 7}]
    assert ledger.rows("SELECT count(*) AS n FROM analytics_recent") == [{"n": 0}]


def test_many_events_of_one_second_are_all_scanned(ledger: Ledger) -> None:
    ledger.publish(*[note(n, NOW) for n in range(1, 30)])
    ledger.tables.connection.execute("UPDATE analytics_cursor SET epoch = 0")
    ledger.follow(page=4)
    assert ledger.rows("SELECT count(*) AS n FROM analytics_recent") == [{"n": 29}]


def test_events_of_another_time_are_left_out(ledger: Ledger) -> None:
    ledger.publish(
        note(1, window_begin(NOW) - 1),
        note(2, window_begin(NOW)),
        note(3, NOW + DAY_SECONDS),
        note(4, NOW + DAY_SECONDS + 1),
    )
    ledger.follow()
    assert {row["pubkey"] for row in ledger.rows("SELECT pubkey FROM analytics_recent")} == {person(2), person(3)}


def test_a_text_that_holds_nul_or_is_too_long_stops_nothing(ledger: Ledger) -> None:
    target = note(1, NOW)
    nul = reaction(2, target, NOW, content="\0")
    long = unsigned_event(pubkey=person(3), created_at=NOW, content="x" * 40_000, tags=[["e", target["id"]]])
    ledger.publish(target, nul, long)
    ledger.follow()
    done = ledger.rows("SELECT event_id FROM analytics_recent WHERE deed IS NOT NULL")
    assert done == [{"event_id": nul["id"]}]


def test_two_runs_at_once_are_one(ledger: Ledger) -> None:
    with ledger.tables.connection.transaction():
        ledger.tables.connection.execute("SELECT FROM analytics_cursor FOR UPDATE")
        with pytest.raises(Skipped, match="another run"):
            ledger.follow()


def test_the_store_grows_by_what_the_log_says(ledger: Ledger) -> None:
    first = [note(n, NOW) for n in range(1, 5)]
    ledger.publish(*first)
    ledger.follow()
    ledger.at(NOW + 3_600)
    ledger.publish(note(7, 5))  # of any time
    ledger.remove(first[0], first[1])
    ledger.follow()
    grown = ledger.rows("SELECT hour, added, removed, events FROM analytics_growth ORDER BY hour")
    assert grown == [
        {"hour": HOUR, "added": 4, "removed": 0, "events": 4},
        {"hour": HOUR + 3_600, "added": 1, "removed": 2, "events": 3},
    ]
    sizes = ledger.rows("SELECT bytes_added, store_bytes FROM analytics_growth")
    assert all(size["bytes_added"] > 0 and size["store_bytes"] > 100_000 for size in sizes)


def test_pruning_takes_the_rows_and_leaves_the_counts(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    ledger.publish(*[note(n, window_begin(NOW) + n) for n in range(1, 8)], note(9, NOW))
    ledger.follow()
    ledger.at(NOW + DAY_SECONDS)
    pruning.prune()
    assert [row["pubkey"] for row in ledger.rows("SELECT pubkey FROM analytics_recent")] == [person(9)]
    assert [row["pubkey"] for row in ledger.rows("SELECT pubkey FROM analytics_author_day")] == [person(9)]
    assert ledger.rows("SELECT sum(events) AS n FROM analytics_kind_hour") == [{"n": 8}]
    ledger.at(NOW + DAY_SECONDS + WINDOW_SECONDS * 5)
    pruning.prune()
    assert not any(ledger.content().values())


def test_a_sweep_of_expired_events_reaches_the_roll_up(ledger: Ledger) -> None:
    ledger.publish(note(1, NOW, tags=[["expiration", str(NOW + 5)]]))
    ledger.follow()
    retention.sweep_expired(NOW + 6)
    ledger.follow()
    assert not any(ledger.content().values())


def test_the_roll_up_knows_how_old_its_connection_is_allowed_to_be(ledger: Ledger) -> None:
    """A job's connection may have been closed between two runs."""
    ledger.publish(note(1, NOW))
    connection.close()
    rollup.roll_up()
    assert ledger.rows("SELECT position FROM analytics_cursor") == [{"position": 1}]


def test_a_run_rests_between_pages_and_not_when_the_log_would_be_lost(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    monkeypatch.setattr("analytics.rollup.time.sleep", naps.append)
    ledger.publish(*week(5))
    rollup.roll_up(60.0, 3)
    assert len(naps) == 3
    assert all(nap > 0 for nap in naps)
    monkeypatch.setattr(rollup, "MAX_BACKLOG", 0)
    naps.clear()
    ledger.publish(*[note(7, NOW, content=str(n)) for n in range(4)])
    rollup.roll_up(60.0, 2)
    assert naps == [0.0, 0.0]
