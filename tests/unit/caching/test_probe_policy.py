"""While a cache seldom has what is looked for, it is seldom asked and seldom written to."""

from random import Random

import pytest

from relay.caching.probe_policy import LOOKS, PLACES, WEIGHT, WRITES, ProbePolicy

Steps = tuple[tuple[float, int], ...]


def after(misses: int) -> ProbePolicy:
    policy = ProbePolicy(Random(7).random)
    for _ in range(misses):
        policy.looked(False)
    return policy


def test_at_first_all_is_due() -> None:
    policy = ProbePolicy()
    assert all(policy.is_due(steps) for _ in range(100) for steps in (LOOKS, WRITES, PLACES))


@pytest.mark.parametrize("steps", [LOOKS, WRITES, PLACES], ids=["looks", "writes", "places"])
def test_the_lower_the_hit_rate_the_less_is_due(steps: Steps) -> None:
    for least, every in steps:
        policy = after(0)
        while policy.hit_rate * (1 - WEIGHT) >= max(least, 0.001):
            policy.looked(False)
        due = sum(policy.is_due(steps) for _ in range(100 * every))
        assert 70 <= due <= 130


def test_once_lookups_hit_again_all_is_due() -> None:
    policy = after(400)
    assert not all(policy.is_due(LOOKS) for _ in range(10))
    for _ in range(50):
        policy.looked(True)
    assert all(policy.is_due(steps) for _ in range(100) for steps in (LOOKS, WRITES, PLACES))
