"""Which lane an event is in."""

import pytest

from replication.lanes import lane_of
from replication.models import Lane


@pytest.mark.parametrize("kind", [0, 3, 5, 62, 10_000, 10_002, 19_999, 30_000, 30_023, 39_999])
def test_what_replaces_or_takes_away_is_urgent(kind: int) -> None:
    assert lane_of(kind) is Lane.URGENT


@pytest.mark.parametrize("kind", [7, 17])
def test_reactions_are_low(kind: int) -> None:
    assert lane_of(kind) is Lane.LOW


@pytest.mark.parametrize("kind", [1, 4, 6, 16, 1059, 9735, 40_000])
def test_all_else_is_normal(kind: int) -> None:
    assert lane_of(kind) is Lane.NORMAL
