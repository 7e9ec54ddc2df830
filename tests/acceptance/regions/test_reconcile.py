"""Anti-entropy between two whole regions, `eu` and `us`, that have missed each other's events: no push runs here."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay.protocol.kinds import DELETION, GIFT_WRAP, VANISH
from tests.acceptance.client import Client
from tests.acceptance.regions.pair import Event, Regions, heal, load, rows, start, two_regions
from tests.acceptance.relay_process import RelayProcess, wait_for
from tests.events import pubkey_of, secret, sign_event


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory, migrated_folder: Path) -> Iterator[Regions]:
    with two_regions(tmp_path_factory.mktemp("regions"), migrated_folder) as made:
        yield made


def held(relay: RelayProcess) -> dict[str, int]:
    """Kind by id of all that is stored and not hidden, and of the requests to vanish."""
    found = rows(
        relay,
        "SELECT id, kind FROM relay_event AS e WHERE NOT EXISTS ("
        "SELECT FROM relay_vanish_pending AS v WHERE v.pubkey = e.pubkey AND v.until >= e.created_at) "
        f"UNION ALL SELECT event_id, {VANISH} FROM relay_vanish",
    )
    return {event_id.hex(): kind for event_id, kind in found}


def public(events: dict[str, int]) -> dict[str, int]:
    return {event_id: kind for event_id, kind in events.items() if kind not in {4, GIFT_WRAP}}


def anything(chance: random.Random, count: int) -> list[Event]:
    """Events of a few keys that replace, delete and vanish; and private ones."""
    keys = [secret(100 + number) for number in range(8)]
    made: list[Event] = []
    now = int(time.time()) - 10_000
    for number in range(count):
        key, at = chance.choice(keys), now + chance.randrange(60)
        kind = chance.choice([1, 1, 1, 7, 0, 10_002, 30_023, DELETION, DELETION, 4, GIFT_WRAP])
        tags = [["d", chance.choice("ab")]] if kind == 30_023 else []
        if kind == DELETION:
            # Not versions: what replaced an older one and was deleted by id is known to no region that missed it.
            of_key = [
                event for event in made if event["pubkey"] == pubkey_of(key) and event["kind"] in {1, 7, DELETION}
            ]
            tags = [["e", event["id"]] for event in chance.sample(of_key, min(2, len(of_key)))]
            tags.append(["a", f"30023:{pubkey_of(key)}:{chance.choice('ab')}"])
            at += 60  # after every request to vanish: what such a request takes away does not count any more
        if kind in {4, GIFT_WRAP}:
            tags = [["p", pubkey_of(chance.choice(keys))]]
        if chance.random() < 0.1:
            tags.append(["expiration", str(now + 1_000_000)])
        made.append(sign_event(key, kind=kind, created_at=at, tags=tags, content=str(number)))
    gone = [sign_event(key, kind=VANISH, created_at=now + 30, tags=[["relay", "ALL_RELAYS"]]) for key in keys[:2]]
    made.insert(count // 3, gone[0])
    return [*made, gone[1]]


def test_two_regions_that_missed_each_others_events_serve_the_same_after_one_run(regions: Regions) -> None:
    chance = random.Random(13)
    events = anything(chance, 600)
    sides = [[event for event in events if chance.random() < 0.6] for _ in regions]
    for side in sides:
        chance.shuffle(side)
    with ThreadPoolExecutor() as pool:
        list(pool.map(load, regions, sides))
    private = [{i for i, kind in held(relay).items() if kind in {4, GIFT_WRAP}} for relay in regions]

    report = heal(regions.eu, "us")
    again = heal(regions.us, "eu")

    assert report["taken"]["stored"] > 0 < report["given"]["stored"]
    assert (report["is_whole"], report["faulty"]) == (True, 0)
    eu, us = held(regions.eu), held(regions.us)
    assert public(eu) == public(us)
    known = {event["id"]: event for side in sides for event in side}
    for event in known.values():
        if event["kind"] == DELETION and event["id"] in eu:
            assert not {tag[1] for tag in event["tags"] if tag[0] == "e" and known.get(tag[1], {}).get("kind") != 5} & {
                *eu
            }
    assert {event["id"] for event in known.values() if event["kind"] == VANISH} <= {*eu}
    for found, before in zip((eu, us), private, strict=True):
        assert {event_id for event_id, kind in found.items() if kind in {4, GIFT_WRAP}} <= before
    assert (again["taken"], again["given"], again["differing"]) == ({}, {}, 0)


async def test_a_region_that_joins_is_filled_while_it_serves_though_the_run_is_killed_in_the_middle(
    regions: Regions,
) -> None:
    author, total = secret(200), 5_000
    events = [
        sign_event(author, content=str(number), created_at=1_600_000_000 + number // 7) for number in range(total)
    ]
    load(regions.us, events)
    count = f"SELECT count(*) FROM relay_event WHERE pubkey = decode('{pubkey_of(author)}', 'hex')"

    killed = start(regions.eu, "reconcile", "us", "--quiet")
    wait_for(lambda: rows(regions.eu, count)[0][0] > 0, "the first events", seconds=60)
    async with Client(regions.eu.ws_url) as client:
        assert (await client.query({"authors": [pubkey_of(author)], "limit": 1})).events
    killed.kill()
    killed.communicate()
    before = rows(regions.eu, count)[0][0]
    report = heal(regions.eu, "us")

    assert 0 < before < total
    assert report["taken"] == {"stored": total - before}
    assert rows(regions.eu, count) == [(total,)]
    (of_killed, of_second) = rows(
        regions.eu, "SELECT finished_at, received FROM replication_repair ORDER BY id DESC LIMIT 2"
    )[::-1]
    assert of_killed[0] is None
    assert of_second[1] == total - before


async def test_what_one_region_refuses_is_not_sent_to_it_by_every_run(regions: Regions) -> None:
    banned = secret(300)
    async with Client(regions.us.ws_url) as client:
        for number in range(20):
            assert (await client.publish(sign_event(banned, content=str(number)))).accepted
    rows(regions.eu, f"SELECT relay_ban_key(decode('{pubkey_of(banned)}', 'hex'), 'spam', 0, 'test', true)")

    first, second, from_there = heal(regions.eu, "us"), heal(regions.eu, "us"), heal(regions.us, "eu")

    assert first["taken"] == {"refused": 20}
    assert (second["taken"], second["differing"]) == ({}, 0)
    assert (from_there["given"], from_there["differing"]) == ({}, 0)
