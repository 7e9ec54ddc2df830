"""What becomes of the texts that a peer sends: through verifying processes and `Ingest` into the real store."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from relay.background import BackgroundTasks
from relay.conf import config
from relay.policies.source import Source, SourceKind
from relay.protocol.removal import places_of
from relay.storage.store import read_store
from relay.transfer.session import ingest_beside
from relay.transfer.verifier import Settings
from relay.transfer.verifiers import Verifiers
from replication.models import Region
from replication.reconcile.asking import Peer
from replication.reconcile.desk import Desk
from replication.reconcile.local_set import LocalSet, OwnConnection
from replication.reconcile.messages import FetchAnswer, Part, Stage, encode, window_of
from replication.reconcile.report import Report
from replication.reconcile.scope import Scope
from replication.reconcile.taking import Taking
from tests.events import NOW, pubkey_of, secret, sign_event
from tests.integration.storage.scribe import Json, Tables

pytestmark = pytest.mark.django_db(transaction=True)


def taken(
    peer: Region, asked: Sequence[Json], sent: Sequence[Json], stage: Stage = Stage.EVENTS, *, trusted: bool = False
) -> Report:
    """Ask for some events, and be sent others."""
    texts = [msgspec.Raw(json.dumps(event).encode()) for event in sent]
    source = Source(SourceKind.PEER, address=peer.name, origin=peer.origin, trusted=trusted, verified=True)
    conf, store = replace(config(), own_places=places_of(["wss://relay.example.com"])), read_store()
    report, here = Report(), OwnConnection()
    ids = [bytes.fromhex(event["id"]) for event in asked]
    part = Part(stage, Scope(), window_of(None, None))
    answers = Peer(lambda path, content: encode(FetchAnswer(texts, len(asked))))
    desk = Desk(LocalSet(here, peer.origin, NOW), answers, lambda given: [])

    async def take() -> None:
        tasks, verifiers = BackgroundTasks(), Verifiers(Settings(conf.limits, trusted), 1)
        await verifiers.start()
        async with ingest_beside(conf, store, 1_000, tasks, role="reconcile") as (ingest, _):
            await Taking(ingest, verifiers, source, report).take(desk, part, ids)
        await verifiers.stop()
        await tasks.stop()

    try:
        asyncio.run(take())
    finally:
        here.close()
    return report


@pytest.fixture
def peer(tables: Tables) -> Region:
    return Region.objects.create(name="eu", endpoint="http://eu.example.com")


def noted(tables: Tables) -> list[str]:
    return [found.hex() for (found,) in tables.rows("SELECT event_id FROM replication_refusedid WHERE NOT by_peer")]


def test_events_are_stored_as_the_peers(tables: Tables, peer: Region) -> None:
    events = [sign_event(content=str(number)) for number in range(3)]

    report = taken(peer, events, events)

    assert report.taken == {"stored": 3}
    assert tables.ids() == {event["id"] for event in events}
    assert tables.rows("SELECT DISTINCT origin FROM relay_change") == [(peer.origin,)]


def test_nothing_is_written_that_its_author_did_not_sign(tables: Tables, peer: Region) -> None:
    note, profile = sign_event(content="x"), sign_event(kind=0)
    unsigned, changed = {**note, "sig": "0" * 128}, {**profile, "content": "changed"}
    deletion = {**sign_event(kind=5, tags=[["e", "0" * 64]]), "sig": "0" * 128}

    report = taken(peer, [note, profile, deletion], [unsigned, changed, deletion])

    assert (report.faulty, report.received) == (3, 0)
    assert tables.rows("SELECT FROM relay_change UNION ALL SELECT FROM relay_tombstone") == []


def test_a_trusted_peer_has_verified_signatures_itself_but_an_id_is_still_a_hash(tables: Tables, peer: Region) -> None:
    note, profile = sign_event(content="x"), sign_event(kind=0)

    report = taken(peer, [note, profile], [{**note, "sig": "0" * 128}, {**profile, "content": "changed"}], trusted=True)

    assert (report.faulty, report.received) == (1, 1)
    assert tables.ids() == {note["id"]}


def test_events_that_were_not_asked_for_are_dropped(tables: Tables, peer: Region) -> None:
    asked, other = sign_event(content="asked"), sign_event(content="other")

    report = taken(peer, [asked], [other])

    assert report.faulty == 1
    assert tables.ids() == set()


def test_an_event_that_no_client_could_have_sent_is_dropped(tables: Tables, peer: Region) -> None:
    small, large = sign_event(content="small"), sign_event(tags=[["t", "x" * 1_048_576]])

    report = taken(peer, [small, large], [small, large])

    assert report.faulty == 1
    assert tables.ids() == {small["id"]}


def test_what_is_refused_here_is_noted(tables: Tables, peer: Region) -> None:
    gone, newer, older = (
        sign_event(content="deleted"),
        sign_event(kind=0, created_at=NOW),
        sign_event(kind=0, created_at=5),
    )
    deletion = sign_event(kind=5, tags=[["e", gone["id"]]])
    taken(peer, [deletion], [deletion], Stage.REMOVALS)
    taken(peer, [newer], [newer])

    report = taken(peer, [gone, older], [gone, older])

    assert report.taken == {"refused": 1, "outdated": 1}
    assert set(noted(tables)) == {gone["id"], older["id"]}


def test_of_two_requests_to_vanish_the_one_that_is_not_kept_is_noted(tables: Tables, peer: Region) -> None:
    late = sign_event(secret(4), kind=62, tags=[["relay", "ALL_RELAYS"]], created_at=NOW)
    early = sign_event(secret(4), kind=62, tags=[["relay", "ALL_RELAYS"]], created_at=NOW - 9)

    taken(peer, [late, early], [late, early], Stage.REMOVALS)

    assert tables.rows("SELECT pubkey, until FROM relay_vanish") == [(bytes.fromhex(pubkey_of(secret(4))), NOW)]
    assert noted(tables) == [early["id"]]
