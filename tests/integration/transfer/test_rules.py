"""What the operator rules holds for an import as for a client, with the same words (X-2), and rates do not."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import connection
from msgspec import structs

from relay.conf import config
from relay.policies.source import Source, SourceKind
from relay.protocol.event import Event
from relay.protocol.rates import Rate
from relay.services import moderation
from relay.storage.store import read_store
from relay.transfer.run import ImportRun
from relay.transfer.session import Options
from tests.events import pubkey_of, secret, sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay, start_relay
from tests.integration.storage.scribe import Tables

__all__ = ["start_relay"]

pytestmark = pytest.mark.django_db(transaction=True)

Json = dict[str, Any]
GOOD, BAD = secret(60), secret(61)
OWN = "tests.integration.policies.own_policy.check"


def event(key: bytes = GOOD, content: str = "", **rest: Any) -> Json:
    return sign_event(key, content=content, created_at=int(time.time()), **rest)


async def in_thread(action: Any, *args: Any, **kwargs: Any) -> Any:
    def act() -> Any:
        try:
            return action(*args, **kwargs)
        finally:
            connection.close()

    return await asyncio.to_thread(act)


def imported(path: Path, events: list[Json], **settings: Any) -> dict[str, Any]:
    """The outcome of each event's line: what was taken as such, or the text of the refusal."""
    path.write_text("".join([json.dumps(each) + "\n" for each in events]))
    conf = replace(config(), policy=OWN, **settings)
    made = ImportRun(str(path), path.with_name("state"), read_store(), conf, resume=False, quiet=True)
    assert made.run(Options(processes=1))
    refused = made.state.tally.refused
    return {"taken": made.state.tally.taken} | {
        reason: [one.line for one in what.examples] for reason, what in refused.items()
    }


async def test_x_2_an_import_is_answered_like_a_client(start_relay: StartRelay, tables: Tables, tmp_path: Path) -> None:
    """But where the answer speaks of the login, which an import cannot have."""
    removed = event(content="removed")
    await in_thread(moderation.ban_key, pubkey_of(BAD), by="operator")
    await in_thread(moderation.ban_event, removed["id"], by="operator")
    await in_thread(moderation.disallow_kind, 1_111, by="operator")
    events = [
        event(BAD, "banned"),
        removed,
        event(kind=1_111),
        event(content="no"),
        event(content="why"),
        event(kind=13),
        event(kind=22_242),
        event(content="old", tags=[["expiration", "1"]]),
        event(kind=62),
        sign_event(GOOD, created_at=int(time.time()) + 10_000),
        event(tags=[["-"]]),
        event(content=json.dumps(event(tags=[["-"]])), kind=6),
    ]
    relay = await start_relay(policy=OWN)
    client = Client(relay)
    for each in events:
        client.say("EVENT", each)
    await client.until(lambda: len([m for m in client.messages if m[0] == "OK"]) == len(events))
    texts = {m[1]: m[3] for m in client.messages if m[0] == "OK"}
    assert tables.ids() == set()

    found = await in_thread(imported, tmp_path / "events", events)

    assert tables.ids() == set()
    assert found.pop("taken") == {}
    said = {line: reason for reason, lines in found.items() for line in lines}
    expected = {line: texts[each["id"]] for line, each in enumerate(events, 1)}
    assert expected.pop(11).removeprefix("auth-required") == said.pop(11).removeprefix("restricted")
    assert said == expected


async def test_an_event_that_the_operators_policy_hides_is_not_imported(tables: Tables, tmp_path: Path) -> None:
    kept = event(content="kept")

    await in_thread(imported, tmp_path / "events", [event(content="shadow"), kept])

    assert tables.ids() == {kept["id"]}


async def test_an_import_of_more_events_than_wait_for_verdicts_is_whole(tables: Tables, tmp_path: Path) -> None:
    events = [event(content=f"note {number}") for number in range(1_200)]

    found = await in_thread(imported, tmp_path / "events", events, policy_queue=10)

    assert found == {"taken": {"stored": 1_200}}


async def test_rates_do_not_apply_to_an_import(tables: Tables, tmp_path: Path) -> None:
    slow = structs.replace(config().rates, author=Rate(0.001, 1))

    found = await in_thread(imported, tmp_path / "events", [event(content=str(n)) for n in range(5)], rates=slow)

    assert found == {"taken": {"stored": 5}}


@pytest.mark.parametrize("kind", SourceKind)
async def test_x_2_a_ban_holds_for_every_source(start_relay: StartRelay, tables: Tables, kind: SourceKind) -> None:
    """All sources go through the one pipeline of a process."""
    await in_thread(moderation.ban_key, pubkey_of(BAD), by="operator")
    relay = await start_relay()

    outcome = await relay.ingest.one(msgspec.convert(event(BAD, "banned"), Event), Source(kind))

    assert outcome.text == "blocked: this public key is banned here"
    assert tables.ids() == set()
