"""The eight filters, from events of our own and from those of a relay."""

import random

from relay.loadtest.plan import Scenario
from relay.loadtest.pool import signed_events
from relay.loadtest.shapes import Known, filter_shapes
from tests.unit.loadtest.plans import plan

NAMES = ["one id", "20 ids", "author notes", "home feed", "global", "thread", "mentions", "hashtag"]
RNG = random.Random(1)


def test_published_events_give_all_eight_shapes() -> None:
    whole = plan(Scenario.QUERY, events=100)
    known = Known.of_pool(signed_events(whole, whole.share(0)))

    shapes = filter_shapes(known, RNG)

    assert list(shapes) == NAMES
    assert len(shapes["20 ids"]()["ids"]) == 20


def test_the_shapes_of_a_relay_without_tags_are_those_without_tags() -> None:
    event = {"id": "a" * 64, "pubkey": "b" * 64, "created_at": 5, "tags": []}

    assert list(filter_shapes(Known.of_json([event]), RNG)) == NAMES[:5]


def test_what_a_relay_sends_wrongly_is_left_out() -> None:
    broken = [None, 7, {}, {"id": 1, "pubkey": "b", "created_at": 5, "tags": []}]
    odd = {"id": "a", "pubkey": "b", "created_at": 5, "tags": [[], ["e"], ["e", 7], "t", ["t", "x", 1]]}

    known = Known.of_json([*broken, odd])

    assert (known.ids, dict(known.parents), dict(known.hashtags)) == (["a"], {}, {"x": 1})


def test_a_relay_without_events_gives_no_shape() -> None:
    assert filter_shapes(Known.of_json([]), RNG) == {}
