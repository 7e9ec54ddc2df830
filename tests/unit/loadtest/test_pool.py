"""The events that are published: valid, unique, and never in each other's way."""

import orjson
import pytest

from relay.loadtest.plan import Scenario
from relay.loadtest.pool import LIVE_KINDS, SignedEvent, marker, signed_events
from relay.protocol.limits import Limits
from relay.protocol.messages import EventMessage, parse_message
from tests.unit.loadtest.plans import NOW, plan

LIMITS = Limits(
    max_message_length=65_536,
    max_subscriptions=10,
    max_limit=500,
    default_limit=500,
    max_subid_length=64,
    max_event_tags=100,
    max_content_length=8_192,
    created_at_lower_limit=0,
    created_at_upper_limit=900,
    max_filters=10,
)


@pytest.fixture(scope="module")
def pools() -> list[list[SignedEvent]]:
    """Those of the two workers of a run."""
    whole = plan(Scenario.INGEST, events=400, authors=20, processes=2)
    return [list(signed_events(whole, whole.share(index))) for index in range(2)]


@pytest.fixture(scope="module")
def events(pools: list[list[SignedEvent]]) -> list[SignedEvent]:
    return [event for pool in pools for event in pool]


def test_every_event_has_the_right_id_and_signature(events: list[SignedEvent]) -> None:
    for signed in events[:50]:
        message = parse_message(signed.frame, LIMITS)
        assert isinstance(message, EventMessage)
        assert message.event.has_valid_id()
        assert message.event.has_valid_signature()


def test_no_event_is_a_duplicate(events: list[SignedEvent]) -> None:
    assert len({event.id for event in events}) == 400


def test_another_run_has_other_events_and_other_authors(events: list[SignedEvent]) -> None:
    other = plan(Scenario.INGEST, events=400, authors=20, processes=2, run="12345678")
    others = list(signed_events(other, other.share(0)))

    assert not {event.id for event in events} & {event.id for event in others}
    assert not {event.author for event in events} & {event.author for event in others}


def test_an_author_has_one_profile_in_a_run(events: list[SignedEvent]) -> None:
    profiles = [event.author for event in events if event.kind == 0]

    assert profiles
    assert len(profiles) == len(set(profiles))


def test_every_event_carries_its_number(events: list[SignedEvent]) -> None:
    for number, event in enumerate(events):
        assert marker("0badcafe") + b"%08d" % number in event.frame


def test_the_mix_has_all_the_kinds_and_few_write_most_of_it(events: list[SignedEvent]) -> None:
    authors = sorted(
        (sum(event.author == name for event in events) for name in {e.author for e in events}), reverse=True
    )

    assert {event.kind for event in events} == set(LIVE_KINDS)
    assert sum(authors[:5]) > 400 / 3


def test_what_queries_need_is_what_the_event_says(events: list[SignedEvent]) -> None:
    for signed in events:
        event = orjson.loads(signed.frame)[1]
        tags = {tag[0]: tag[1] for tag in event["tags"]}
        parent = (tags["e"], tags["p"]) if "e" in tags else None
        assert (signed.id, signed.author, signed.kind) == (event["id"], event["pubkey"], event["kind"])
        assert (signed.hashtag, signed.parent) == (tags.get("t"), parent)


def test_live_events_are_fresh() -> None:
    whole = plan(Scenario.FANOUT, events=30)

    assert all(NOW - 60 <= event.created_at <= NOW for event in signed_events(whole, whole.share(0)))
