"""`manage.py explain`: what an operator learns of a query, on a store with common tags and rare combinations."""

import asyncio
import json
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections

from relay.management.explain_text import as_text
from relay.protocol.audience import Audience
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.protocol.nip19 import encode
from relay.storage.database import conninfo
from relay.storage.explain import Outcome, connected, explain
from relay.storage.filter_sql import Bounds
from tests.events import NOW, pubkey_of, secret, unsigned_event
from tests.integration.storage.bulk import copy_in
from tests.integration.storage.scribe import Json, Tables

pytestmark = pytest.mark.django_db

AUTHORS = [pubkey_of(secret(number)) for number in range(1, 11)]
READER = AUTHORS[0]
SMALL = Bounds(walk_rows=64, most_rows=128, recent_rows=64)


def _event(number: int) -> Json:
    tags = [["t", "common"], ["t", "odd" if number % 2 else "even"]]
    kind = 1_059 if number % 100 == 0 else 9 if number == 1_998 else 1
    tags += [["p", READER]] if kind == 1_059 else []
    return unsigned_event(pubkey=AUTHORS[number % 10], kind=kind, created_at=NOW - number, tags=tags, content="x" * 200)


@pytest.fixture(scope="module")
def store(database: Tables) -> Tables:
    """2,000 events."""
    database.clear()
    copy_in(database, [_event(number) for number in range(2_000)])
    return database


def run(*words: str) -> str:
    out = StringIO()
    call_command("explain", *words, stdout=out)
    return out.getvalue()


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def test_it_only_reads_from_the_primary_among_several_hosts(store: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    described = connections["default"].settings_dict
    server = psycopg.conninfo.conninfo_to_dict(conninfo())
    monkeypatch.setitem(described, "HOST", f"{server['host']},{server['host']}")
    monkeypatch.setitem(described, "PORT", f"{server['port']},{server['port']}")
    monkeypatch.setitem(described, "OPTIONS", {**described["OPTIONS"], "target_session_attrs": "read-write"})

    async def refusal() -> str:
        async with connected() as connection:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as refused:
                await connection.execute("CREATE TABLE made ()")
            return str(refused.value)

    assert "read-only" in asyncio.run(refusal())


def test_it_names_the_index_what_was_read_and_the_question_that_the_index_serves(store: Tables) -> None:
    text = run(json.dumps({"authors": AUTHORS[:1], "limit": 10}))

    assert "relay_event along the index relay_event_author" in text
    assert "10 events" in text
    assert "PostgreSQL's memory" in text
    assert "The answer is whole." in text
    assert "Nothing: it reads about what it returns." in text


def test_it_shows_the_statement_with_its_values(store: Tables) -> None:
    text = run(json.dumps({"authors": AUTHORS[:1], "since": NOW - 50}))

    assert f"= \\x{AUTHORS[0]}" in text
    assert f"= {NOW - 50}" in text


def test_a_filter_of_many_filters_is_one_statement(store: Tables) -> None:
    found = run_json('{"kinds":[1],"limit":3}', '{"kinds":[9]}')

    assert [attempt["events"] for attempt in found["attempts"]] == [4]


def test_a_whole_req_is_accepted(store: Tables) -> None:
    assert run_json('["REQ","s",{"kinds":[1],"limit":3}]')["attempts"][0]["events"] == 3


def test_entries_read_and_dropped_are_those_of_all_walks(store: Tables) -> None:
    flt = parse_filter({"kinds": [9], "#t": ["common"]}, Limits())

    (attempt,) = explain([flt]).attempts

    assert attempt.events == 1
    assert {access.table for access in attempt.figures.accesses} >= {"relay_event", "relay_tag"}
    assert attempt.figures.read >= 2_000  # all entries of the tag are passed over for one event
    assert attempt.figures.pages > 0


def test_a_walk_that_stops_is_followed_by_the_second_statement_and_both_are_shown(store: Tables) -> None:
    flt = parse_filter({"kinds": [9], "#t": ["common"]}, Limits())

    found = explain([flt], bounds=SMALL)

    assert [attempt.outcome for attempt in found.attempts] == [Outcome.STOPPED, Outcome.SENT]
    assert [attempt.events for attempt in found.attempts] == [0, 1]
    assert not found.is_refused


def test_what_the_relay_refuses_is_said_to_be_refused(store: Tables) -> None:
    flt = parse_filter({"authors": AUTHORS[:1], "#t": ["odd"]}, Limits())  # whose events all are even

    found = explain([flt], bounds=SMALL)

    assert [attempt.outcome for attempt in found.attempts] == [Outcome.STOPPED, Outcome.STOPPED]
    assert found.is_refused
    assert "narrow it" in " ".join(as_text(found))


def test_private_events_are_found_for_their_reader_alone(store: Tables) -> None:
    wanted = json.dumps({"kinds": [1_059], "#p": [READER]})

    assert run_json(wanted)["needs_database"] is False
    assert "answers without the database" in run(wanted)
    assert run_json(wanted, "--audience", encode("npub", bytes.fromhex(READER)))["attempts"][0]["events"] == 20
    assert run_json(wanted, "--audience", AUTHORS[1])["attempts"][0]["events"] == 0


def test_without_analyze_nothing_runs(store: Tables) -> None:
    found = run_json('{"kinds":[1]}', "--no-analyze")

    assert found["attempts"][0]["outcome"] == "not run"
    assert found["attempts"][0]["entries"] == 0
    assert "did not run" in run('{"kinds":[1]}', "--no-analyze")


def test_a_statement_that_takes_too_long_is_ended_and_its_plan_shown(store: Tables) -> None:
    flt = parse_filter({"authors": [f"{number:064x}" for number in range(4_000)], "kinds": list(range(5))}, Limits())

    found = explain([flt], seconds=0.001)

    assert [attempt.outcome for attempt in found.attempts] == [Outcome.TIMED_OUT]
    assert found.attempts[0].explained["Plan"]


def test_large_texts_are_asked_for_as_keys(store: Tables) -> None:
    flt = parse_filter({"kinds": [1], "limit": 50}, Limits())

    found = explain([flt], Audience.of([]), bounds=Bounds(text_bytes=2_000))

    assert [attempt.outcome for attempt in found.attempts] == [Outcome.LARGE, Outcome.SENT]
    assert found.attempts[1].events == 50


def test_it_writes_nothing(store: Tables) -> None:
    before = store.rows("SELECT count(*), (SELECT count(*) FROM relay_change) FROM relay_event")

    run('{"kinds":[1]}')

    assert store.rows("SELECT count(*), (SELECT count(*) FROM relay_change) FROM relay_event") == before


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["{"], "must be JSON"),
        (['"text"'], "must be a JSON object"),
        (['{"kinds":["one"]}'], "kinds"),
        (['{"search":"x"}'], "unknown"),
        ([json.dumps({"kinds": [1] * 30_001})], "values"),
        (["[]"], "needs a filter"),
        (['{"kinds":[1]}'] * 21, "too many filters"),
        (['{"kinds":[1]}', "--audience", "npub1nobody"], "--audience"),
    ],
)
def test_what_is_wrong_with_the_question_is_said_with_exit_code_2(words: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason) as caught:
        run(*words)

    assert caught.value.returncode == 2
