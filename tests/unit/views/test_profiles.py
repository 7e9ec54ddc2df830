"""`GET /api/profiles` while the database does not answer."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import RequestFactory

from relay.views import profiles


class Hung:
    """The profiles of a relay whose database hangs."""

    async def newest(self, _pubkeys: Any) -> Any:
        await asyncio.Event().wait()


async def test_the_answer_is_503_within_the_time_of_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    async def started() -> Any:
        return SimpleNamespace(config=SimpleNamespace(query_seconds=0.01), profiles=Hung())

    monkeypatch.setattr(profiles, "started_relay", started)
    async with asyncio.timeout(10):
        response = await profiles.profiles(RequestFactory().get("/api/profiles", {"pubkey": "ab" * 32}))

    assert response.status_code == 503
