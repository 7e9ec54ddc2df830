"""Profiles that PostgreSQL answered, while the process begins to follow another epoch."""

from types import SimpleNamespace
from typing import Any

import pytest

from relay.changes.ring import Ring
from relay.services import profiles
from relay.services.profiles import ProfileReader


class Process:
    """A ring that is replaced while the answer is awaited, and the pages that were kept or shared."""

    def __init__(self, *, is_replaced: bool) -> None:
        self.ring = Ring(5, 10**6)
        self.shared: list[Any] = []
        self._is_replaced = is_replaced
        cache = SimpleNamespace(keep=lambda page, ring: None, share=self.shared.extend)
        self.copies = SimpleNamespace(profiles=cache)
        self.arrivals = self

    async def reached(self, position: int) -> bool:
        if self._is_replaced:
            self.ring = Ring(position, 10**6)
        return True


@pytest.mark.parametrize("is_replaced, count", [(False, 1), (True, 0)])
async def test_a_profile_of_the_previous_epoch_is_not_shared_as_one_of_the_new_one(
    monkeypatch: pytest.MonkeyPatch, is_replaced: bool, count: int
) -> None:
    async def newest(*_: object) -> tuple[int, dict[str, bytes]]:
        return 5, {}

    monkeypatch.setattr(profiles, "newest_profiles", newest)
    process: Any = Process(is_replaced=is_replaced)
    reader = ProfileReader(process, process, lambda: process.ring)
    await reader._fetch(process, ["a" * 64])
    assert len(process.shared) == count
