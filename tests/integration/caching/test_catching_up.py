"""A process that reads what it missed from the log does not answer from memory until it has read all of it.

The log tells of no event that is gone when it is read: half-way between two versions a process would know of neither.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from relay.changes.change import Batch
from relay.protocol.filters import parse_filter
from tests.events import NOW, secret, sign_event
from tests.integration.caching.valkeys import until
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay

pytestmark = pytest.mark.django_db

PROFILES = {"kinds": [0]}


async def test_between_two_versions_memory_does_not_answer(
    start_relay: StartRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there = await start_relay(cache_layers="l1"), await start_relay()
    await until(lambda: here.answers.copies.window.window.complete)
    here.bus._on_batch = lambda batch: None
    asked = [parse_filter(PROFILES, here.config.limits)]
    said: list[tuple[int, Sequence[bytes] | None]] = []

    def known() -> Sequence[bytes] | None:
        found = here.answers.known(asked)
        return None if found is None else found.texts

    changes_after = here.primary.changes_after

    async def one_change(position: int) -> Batch | None:
        said.append((here.hub.position, known()))
        batch: Batch | None = await changes_after(position, limit=1)
        return batch

    begin: int = here.hub.position
    client: Any = Client(there)
    for age in (2, 1, 0):
        await client.publish(sign_event(secret(1), kind=0, created_at=NOW - age))
    monkeypatch.setattr(here.primary, "changes_after", one_change)
    await until(lambda: here.hub.position == there.hub.position)

    assert dict(said) == {begin: [], **{begin + read: None for read in range(1, 5)}}
    newest = known()
    assert newest is not None
    assert [b'"created_at":%d,' % NOW in text for text in newest] == [True]
