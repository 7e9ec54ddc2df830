"""`GET /api/profiles` while the database does not answer, and for profiles that are too large."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import RequestFactory

from relay.storage.profiles import TooLarge
from relay.views import profiles


class Hung:
    """The profiles of a relay whose database hangs."""

    async def newest(self, _pubkeys: Any) -> Any:
        await asyncio.Event().wait()


class Large:
    """The profiles of a relay whose authors have published large ones."""

    async def newest(self, _pubkeys: Any) -> Any:
        raise TooLarge


async def answer(monkeypatch: pytest.MonkeyPatch, of_relay: Hung | Large) -> Any:
    async def started() -> Any:
        return SimpleNamespace(config=SimpleNamespace(query_seconds=0.01), profiles=of_relay)

    monkeypatch.setattr(profiles, "started_relay", started)
    async with asyncio.timeout(10):
        return await profiles.profiles(RequestFactory().get("/api/profiles", {"pubkey": "ab" * 32}))


async def test_the_answer_is_503_within_the_time_of_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await answer(monkeypatch, Hung())).status_code == 503


async def test_profiles_that_were_not_read_because_they_are_too_large_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    response = await answer(monkeypatch, Large())

    assert response.status_code == 413
    assert "fewer" in response.content.decode()
