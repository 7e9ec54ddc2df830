"""While the shared cache seldom has what is looked for, it is seldom asked and seldom written to."""

from relay.caching.probe_policy import PROBE_EVERY, ProbePolicy


def poor() -> ProbePolicy:
    policy = ProbePolicy()
    for _ in range(200):
        policy.looked(False)
    return policy


def test_at_first_every_lookup_and_every_write_is_made() -> None:
    policy = ProbePolicy()
    assert all(policy.should_look() and policy.should_write() for _ in range(100))


def test_while_lookups_miss_one_in_so_many_is_made_and_one_write() -> None:
    policy = poor()
    assert sum(policy.should_look() for _ in range(10 * PROBE_EVERY)) == 10
    assert sum(policy.should_write() for _ in range(10 * PROBE_EVERY)) == 10


def test_once_lookups_hit_again_all_are_made() -> None:
    policy = poor()
    for _ in range(50):
        policy.looked(True)
    assert policy.should_look()
    assert policy.should_write()
