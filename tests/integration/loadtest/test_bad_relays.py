"""A load test against relays that behave badly: it ends, and counts what they did."""

import asyncio
from time import perf_counter

import pytest

from relay.loadtest import following, load, plan, worker
from relay.loadtest.board import Board
from relay.loadtest.load import Load
from relay.loadtest.plan import Scenario
from relay.loadtest.tally import Tally
from tests.integration.loadtest import bad_relay
from tests.unit.loadtest import plans

GRACE = 0.2


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (plan, load):
        monkeypatch.setattr(module, "GRACE_SECONDS", GRACE)
    monkeypatch.setattr(following, "EOSE_SECONDS", GRACE)


async def measure(answer: bad_relay.Answer, scenario: Scenario = Scenario.INGEST, **numbers: float) -> Tally:
    """One worker's run of half a second against a relay that answers so."""
    chosen = {"connections": 2, "events": 6, "window": 2, "authors": 3, "duration": 0.5} | numbers
    async with bad_relay.bad_relay(answer) as url:
        whole = plans.plan(scenario, chosen, url=url)
        stop = asyncio.Event()
        one = Load(whole, whole.share(0), Board(whole), stop, lambda _what, _done, _total: None)

        async def go(_load: Load) -> None:
            return

        await asyncio.wait_for(worker.play(one, go, lambda _tally: None), 15.0)
        return one.tally


async def test_a_good_relay_accepts_everything() -> None:
    tally = await measure(bad_relay.good)

    assert (tally.sent, tally.accepted, tally.unanswered, tally.garbage) == (6, 6, 0, 0)
    assert tally.ok.total.count == 6


async def test_a_relay_that_never_answers_leaves_events_unanswered() -> None:
    tally = await measure(bad_relay.silent)

    assert (tally.sent, tally.accepted, tally.unanswered) == (4, 0, 4)


@pytest.mark.parametrize(
    "answer, reason", [(bad_relay.closing, "close code 4000"), (bad_relay.dropping, "without a close frame")]
)
async def test_a_relay_that_closes_ends_the_run_before_its_time(answer: bad_relay.Answer, reason: str) -> None:
    began = perf_counter()

    tally = await measure(answer, duration=10.0)

    assert tally.closes.counts == {reason: 2}
    assert tally.unanswered == tally.sent
    assert perf_counter() - began < 10.0


async def test_a_relay_that_wants_authentication_refuses_everything() -> None:
    tally = await measure(bad_relay.refusing)

    assert tally.refusals.counts == {"auth-required": 6}
    assert tally.challenges == 6


async def test_garbage_is_counted_and_answers_among_it_are_found() -> None:
    tally = await measure(bad_relay.babbling)

    assert (tally.accepted, tally.unexpected, tally.pings) == (6, 6, 6)
    assert tally.garbage == 6 * (len(bad_relay.GARBAGE) - 1)  # the unfinished EVENT is taken for a stored one
    assert tally.notices.counts == {"I am chatty": 6, "": 6, "in fragments": 6}


async def test_queries_that_are_refused_are_rejections() -> None:
    tally = await measure(bad_relay.refusing, Scenario.MIXED, event_rate=0, query_rate=10, subscribers=0)

    assert tally.asked == 5
    assert tally.rejections.counts == {"auth-required": 5}


async def test_queries_without_an_end_are_unfinished() -> None:
    tally = await measure(bad_relay.never_ready, Scenario.QUERY)

    assert tally.accepted == 6
    assert tally.asked == tally.unfinished > 0


async def test_a_query_that_dies_with_its_connection_is_unfinished() -> None:
    tally = await measure(bad_relay.closing, Scenario.MIXED, event_rate=0, query_rate=10, subscribers=0)

    assert tally.asked == tally.unfinished > 0


async def test_subscribers_that_get_no_eose_are_not_counted_on() -> None:
    tally = await measure(bad_relay.never_ready, Scenario.MIXED, event_rate=10, query_rate=0, subscribers=2)

    assert (tally.followers, tally.lost, tally.accepted) == (0, 0, 5)


async def test_events_that_are_not_delivered_are_lost() -> None:
    tally = await measure(bad_relay.good, Scenario.FANOUT, subscribers=3, events=4)

    assert (tally.followers, tally.accepted, tally.delivered, tally.lost) == (3, 4, 0, 12)


async def test_a_delivery_counts_once_and_only_of_an_event_of_this_run() -> None:
    tally = await measure(
        bad_relay.echoing_twice, Scenario.MIXED, connections=1, subscribers=1, event_rate=10, query_rate=0
    )

    assert (tally.delivered, tally.lost, tally.repeated) == (5, 0, 5)
    assert (tally.foreign, tally.garbage) == (5, 20)


async def test_no_listener_is_a_failed_connection() -> None:
    async with bad_relay.bad_relay(bad_relay.good) as url:
        pass
    whole = plans.plan(Scenario.INGEST, url=url, connections=2, events=2, duration=0.5, authors=1)
    one = Load(whole, whole.share(0), Board(whole), asyncio.Event(), lambda _what, _done, _total: None)

    await asyncio.wait_for(one.prepare(), 10.0)

    assert (one.tally.tried, one.tally.opened) == (2, 0)
    assert one.tally.failures.counts.total() == 2
