"""The views hold what popularity.py says: against the naive count of the same events, and case by case."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.models import ReportedTarget
from analytics.popularity import DAY_SECONDS, WINDOW_SECONDS
from relay.protocol import kinds
from relay.protocol.visibility import NEVER_COPIED_KINDS
from tests.events import NOW
from tests.integration.analytics import naive
from tests.integration.analytics.ledger import Ledger
from tests.integration.analytics.people import Json, answer, note, person, reaction, report, repost, zap

pytestmark = pytest.mark.django_db(transaction=True)

AGES = st.sampled_from(
    [-60, 0, 1, 3_600, DAY_SECONDS - 1, DAY_SECONDS, DAY_SECONDS * 2, WINDOW_SECONDS - 1, WINDOW_SECONDS]
)
PEOPLE = st.integers(1, 15)
WORDS = st.sampled_from(["nostr", "Nostr", "gm", "ü"])
ENDS = st.sampled_from([[], [], [], [["expiration", str(NOW)]], [["expiration", str(NOW + 1)]]])
NOTES = [note(1, NOW - 60, content="a"), note(2, NOW - WINDOW_SECONDS + 1, content="b"), note(3, NOW + 60)]
NOTES.append(note(4, NOW, tags=[["expiration", str(NOW)]]))
WAYS: list[Callable[..., Json]] = [reaction, repost, answer, zap]


@st.composite
def crowds(draw: st.DrawFn) -> list[Json]:
    """Many people who engage with one note, each in their way and at their time."""
    to = draw(st.sampled_from(NOTES[:3]) | st.sampled_from(NOTES))
    people = draw(st.sets(PEOPLE, min_size=9, max_size=15))
    way = draw(st.sampled_from(WAYS))
    ages = draw(st.lists(AGES | st.just(0), min_size=1, max_size=3))
    return [way(number, to, NOW - ages[number % len(ages)]) for number in people]


def others() -> st.SearchStrategy[Json]:
    """Whatever else people publish."""
    target = st.sampled_from(NOTES)
    at = AGES.map(lambda age: NOW - age)
    private = sorted(NEVER_COPIED_KINDS - {kinds.EPHEMERAL_GIFT_WRAP, kinds.AUTH})
    return st.one_of(
        st.builds(lambda who, to, at: reaction(who, to, at, "-"), PEOPLE, target, at),
        st.builds(lambda who, to, at: answer(who, to, at, "mention"), PEOPLE, target, at),
        st.builds(lambda who, to, at: zap(who, to, at, forged=True), PEOPLE, target, at),
        st.builds(lambda who, at, word, end: note(who, at, tags=[["t", word], *end]), PEOPLE, at, WORDS, ENDS),
        st.builds(lambda who, at, word: note(who, at, tags=[["t", word]]), PEOPLE, st.just(NOW - 5), st.just("gm")),
        st.builds(lambda who, at, kind: note(who, at, kind=kind), PEOPLE, at, st.sampled_from([*private, 1_311])),
        st.builds(
            lambda who, at, whom, why: report(who, at, ["p", person(whom), why]),
            PEOPLE,
            at,
            st.integers(1, 2),
            st.sampled_from(["spam", "nudity"]),
        ),
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(crowds(), max_size=6),
    st.lists(others(), max_size=15),
    st.sets(st.integers(0, 60), max_size=6),
    st.sampled_from([9, 1_000]),
    st.booleans(),
)
def test_every_view_holds_what_a_naive_count_finds(
    ledger: Ledger, crowds: list[list[Json]], others: list[Json], gone: set[int], page: int, anew: bool
) -> None:
    events = list({event["id"]: event for event in [*NOTES, *chain(*crowds), *others]}.values())
    leaving = [event for number, event in enumerate(events) if number in gone]
    stored = [event for number, event in enumerate(events) if number not in gone]
    ledger.clear()

    ledger.publish(*events)
    if len(leaving) % 2:  # the roll-up may or may not have seen them
        ledger.follow(page)
    ledger.remove(*leaving)
    if anew:
        ledger.tables.connection.execute("UPDATE analytics_cursor SET epoch = 0")
    ledger.follow(page)

    assert rows(ledger, "popular_events", "rank event_id people reactions reposts replies zaps") == naive.popular(
        stored, NOW
    )
    assert rows(ledger, "trending_hashtags", "rank hashtag authors authors_before events") == naive.hashtags(
        stored, NOW
    )
    assert rows(ledger, "active_authors", "rank pubkey events days") == naive.authors(stored, NOW)
    assert set(rows(ledger, "events_by_kind_and_hour", "hour kind events")) == naive.kinds(stored, NOW)
    ledger.view("reported_targets")
    assert {
        row.key: (row.reports, row.reporters, row.reasons) for row in ReportedTarget.objects.all()
    } == naive.reported(stored, NOW)


def rows(ledger: Ledger, view: str, columns: str) -> list[tuple[Any, ...]]:
    """These columns of a view, in the order of the first one."""
    return sorted(tuple(row[name] for name in columns.split()) for row in ledger.view(view))


def popular(ledger: Ledger) -> list[str]:
    ledger.follow()
    return [row["event_id"] for row in sorted(ledger.view("popular_events"), key=lambda row: int(row["rank"]))]


def test_more_than_ten_people_make_a_note_popular(ledger: Ledger) -> None:
    one = note(1, NOW - 9)
    ledger.publish(one, *[reaction(n, one, NOW) for n in range(2, 12)])
    assert popular(ledger) == []
    ledger.publish(reaction(12, one, NOW))
    assert popular(ledger) == [one["id"]]


def test_a_loop_of_one_and_applause_of_ones_own_count_once_and_not_at_all(ledger: Ledger) -> None:
    one = note(1, NOW - 9)
    loop = [reaction(2, one, NOW, content=str(n)) for n in range(30)]
    own = [reaction(1, one, NOW), repost(1, one, NOW), answer(1, one, NOW), zap(1, one, NOW)]
    ledger.publish(one, *loop, *own, *[reaction(n, one, NOW) for n in range(3, 12)])
    assert popular(ledger) == []


def test_one_person_who_engages_in_every_way_is_one_person(ledger: Ledger) -> None:
    one = note(1, NOW - 9)
    engagements = [way(n, one, NOW) for way in WAYS for n in range(2, 13)]
    ledger.publish(one, *engagements)
    ledger.follow()
    (row,) = ledger.view("popular_events")
    assert [row[name] for name in ("people", "reactions", "reposts", "replies", "zaps")] == [11] * 5


def test_zaps_count_for_the_person_who_asked_for_them_and_forged_ones_are_ignored(ledger: Ledger) -> None:
    one = note(1, NOW - 9)
    ledger.publish(one, *[zap(n, one, NOW, forged=True) for n in range(2, 14)])
    assert popular(ledger) == []
    ledger.publish(*[zap(n, one, NOW) for n in range(2, 14)])
    assert popular(ledger) == [one["id"]]


def test_a_note_that_was_removed_or_expired_or_is_too_old_is_not_shown(ledger: Ledger) -> None:
    gone, ends, old = note(1, NOW), note(1, NOW, tags=[["expiration", str(NOW + 9)]]), note(1, NOW - WINDOW_SECONDS + 5)
    crowd = [reaction(n, one, NOW) for one in (gone, ends, old) for n in range(2, 13)]
    ledger.publish(gone, ends, old, *crowd)
    assert set(popular(ledger)) == {gone["id"], ends["id"], old["id"]}
    ledger.remove(gone)
    ledger.at(NOW + 9)
    assert popular(ledger) == []


def test_a_private_kind_is_never_popular(ledger: Ledger) -> None:
    letter = note(1, NOW, kind=4)
    ledger.publish(letter, *[reaction(n, letter, NOW) for n in range(2, 15)])
    assert popular(ledger) == []


def test_the_most_frequent_kinds_have_rows_and_the_rest_shares_one(ledger: Ledger) -> None:
    ledger.publish(*[note(1, NOW, kind=5_000 + n) for n in range(40)])
    ledger.follow()
    counted = {row["kind"]: row["events"] for row in ledger.view("events_by_kind_and_hour")}
    assert len(counted) == 31
    assert counted[-1] == 10
