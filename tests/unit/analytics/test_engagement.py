"""What is read from the tags of an event: whom it engages with, its hashtags, what it reports."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.engagement import Engagement, Report, Text, answered, engagement_of, hashtags, read, reports
from tests.events import pubkey_of, secret, sign_event
from tests.strategies import events, texts

A, B, C = "a" * 64, "b" * 64, "c" * 64
ME, SENDER = pubkey_of(secret(1)), pubkey_of(secret(2))


@pytest.mark.parametrize(
    "tags, target",
    [
        ([], None),
        ([["e", A]], A),
        ([["e", A], ["e", B]], B),
        ([["e", A, "", "root"]], A),
        ([["e", A, "", "reply"], ["e", B, "", "root"]], A),
        ([["e", A, "", "root"], ["e", B]], A),
        ([["e", A, "", "mention"]], None),
        ([["e", A], ["e", B, "", "mention"]], A),
        ([["e", A, "", C]], A),
        ([["e", A.upper()], ["e"], [], ["E", A], ["q", A]], None),
    ],
)
def test_a_note_answers_what_nip_10_says(tags: list[list[str]], target: str | None) -> None:
    assert answered(tags) == target


@pytest.mark.parametrize(
    "kind, content, what",
    [
        (7, "+", "+"),
        (7, "🤙", "+"),
        (7, "", "+"),
        (7, "-", None),
        (6, "", "r"),
        (16, "", "r"),
        (1, "hi", "a"),
        (4, "", None),
    ],
)
def test_kinds_engage_in_their_ways(kind: int, content: str, what: str | None) -> None:
    expected = Engagement(what, B, ME) if what else None
    assert engagement_of(kind, ME, Text([["e", A], ["e", B]], content)) == expected


def receipt(**changes: Any) -> Text:
    request = sign_event(secret(2), kind=9734, tags=[["e", A], ["p", ME]]) | changes
    return Text([["e", A], ["description", json.dumps(request)]])


def test_a_zap_is_the_deed_of_who_signed_the_request() -> None:
    assert engagement_of(9735, ME, receipt()) == Engagement("z", A, SENDER)


@pytest.mark.parametrize(
    "changes", [{"sig": "0" * 128}, {"pubkey": ME}, {"kind": 1}, {"tags": [["e", B]]}, {"id": C}, {"created_at": "x"}]
)
def test_a_zap_request_that_is_not_sound_is_no_engagement(changes: dict[str, Any]) -> None:
    assert engagement_of(9735, ME, receipt(**changes)) is None


@pytest.mark.parametrize("description", ["", "{", "[]", "\ud800", '"x"'])
def test_a_receipt_with_any_other_description_is_no_engagement(description: str) -> None:
    assert engagement_of(9735, ME, Text([["e", A], ["description", description]])) is None


def test_hashtags_are_small_distinct_words() -> None:
    words = ["Nostr", "#nostr", "", "#", "a b", "a\nb", "x" * 65, "ÜBER", "\u200b"]
    assert hashtags(1, [["t", word] for word in words] + [["t"], ["T", "no"]]) == ["nostr", "über"]
    assert hashtags(4, [["t", "nostr"]]) == []
    assert len(hashtags(1, [["t", str(n)] for n in range(99)])) == 20


def test_a_report_names_its_targets_and_their_reasons() -> None:
    tags = [["e", A, "illegal"], ["p", B], ["x", C, "anything else"], ["p", "short", "spam"], ["e", A, "spam"]]
    assert reports(tags) == [Report("event", A, "spam"), Report("pubkey", B, "illegal"), Report("blob", C, "illegal")]


@given(events(signed=False))
def test_whatever_an_event_holds_it_can_be_read(event: dict[str, Any]) -> None:
    text = read(json.dumps(event))
    assert text is not None
    found = engagement_of(event["kind"], event["pubkey"], text)
    assert found is None or len(found.target) == len(found.actor) == 64
    assert all(" " not in word for word in hashtags(event["kind"], text.tags))
    reports(text.tags)


@pytest.mark.parametrize("text", ["", "{}", '{"tags":[["e",1]]}', '{"tags":[],"content":"\\ud800"}'])
def test_a_text_that_is_no_event_is_not_looked_into(text: str) -> None:
    assert read(text) is None


@given(st.lists(texts(8), max_size=6))
def test_hashtags_survive_being_joined_by_spaces(words: list[str]) -> None:
    found = hashtags(1, [["t", word] for word in words])
    assert " ".join(found).split(" ") == (found or [""])
