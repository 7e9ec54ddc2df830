"""Which replica is read next, and when the primary is read instead."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from hypothesis import given
from hypothesis import strategies as st

from analytics.models import PopularEvent
from relay import routers
from relay.conf import ReplicaAddress
from relay.models import Event, ListEntry
from relay.routers import BAD_SECONDS, GOOD_SECONDS, Health, PrimaryReplicaRouter, Turns, pin_to_primary


@dataclass
class Listed:
    address: ReplicaAddress


def listed(*weights: int) -> list[Listed]:
    return [Listed(ReplicaAddress(f"replica_{number}", weight)) for number, weight in enumerate(weights, 1)]


def aliases(found: list[Listed]) -> list[str]:
    return [each.address.alias for each in found]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_in_each_round_a_replica_has_as_many_turns_as_its_weight(weights: list[int]) -> None:
    turns, replicas = Turns(), listed(*weights)
    for _ in range(3):
        first = Counter(aliases(turns.order(replicas))[0] for _ in range(sum(weights)))
        assert first == {each.address.alias: each.address.weight for each in replicas}


def test_a_heavy_replica_does_not_have_its_turns_in_a_row() -> None:
    turns, replicas = Turns(), listed(3, 1, 1)
    order = "".join(aliases(turns.order(replicas))[0][-1] for _ in range(5))
    assert order == "12131"


def test_every_usable_replica_is_in_the_order_once() -> None:
    turns, replicas = Turns(), listed(2, 1, 1)
    assert sorted(aliases(turns.order(replicas))) == aliases(replicas)


def test_a_replica_of_another_zone_is_asked_only_if_none_of_the_own_zone_is_usable() -> None:
    near, far = Listed(ReplicaAddress("replica_1", zone="a")), Listed(ReplicaAddress("replica_2", zone="b"))
    turns = Turns("a")
    assert turns.order([near, far]) == [near]
    assert turns.order([far]) == [far]
    assert turns.order([]) == []


def test_without_a_zone_of_its_own_a_process_asks_all_zones() -> None:
    near, far = Listed(ReplicaAddress("replica_1", zone="a")), Listed(ReplicaAddress("replica_2", zone="b"))
    assert len(Turns().order([near, far])) == 2


def test_a_replica_is_checked_again_when_what_was_found_is_old() -> None:
    now = [0.0]
    checked: list[str] = []
    health = Health(lambda: now[0])

    def check(alias: str) -> bool:
        checked.append(alias)
        return len(checked) > 1

    health.check = check
    assert [health.is_usable("replica_1") for _ in range(3)] == [False] * 3
    now[0] += BAD_SECONDS
    assert [health.is_usable("replica_1") for _ in range(3)] == [True] * 3
    now[0] += GOOD_SECONDS
    assert health.is_usable("replica_1")
    assert len(checked) == 3


def test_what_the_health_task_says_is_not_checked() -> None:
    health = Health(lambda: 0.0)
    health.check = lambda alias: pytest.fail("checked")
    health.say("replica_1", True)
    assert health.is_usable("replica_1")


@pytest.fixture
def two_replicas(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Health]:
    settings.REPLICAS = (("replica_1", 1, ""), ("replica_2", 1, ""))
    found = Health()
    found.check = lambda alias: True
    monkeypatch.setattr(routers, "health", found)
    routers._listed.cache_clear()
    yield found
    routers._listed.cache_clear()


ROUTER = PrimaryReplicaRouter()


def reads(model: Any = Event, count: int = 2) -> set[str]:
    return {ROUTER.db_for_read(model) for _ in range(count)}


@pytest.mark.usefixtures("two_replicas")
def test_events_and_views_are_read_from_the_replicas_in_turn() -> None:
    assert reads() == {"replica_1", "replica_2"}
    assert reads(PopularEvent) == {"replica_1", "replica_2"}


@pytest.mark.usefixtures("two_replicas")
@pytest.mark.parametrize("model", [Session, ListEntry])
def test_what_is_read_back_after_a_change_is_read_from_the_primary(model: Any) -> None:
    assert reads(model) == {"default"}


@pytest.mark.usefixtures("two_replicas")
def test_a_pinned_caller_reads_from_the_primary() -> None:
    with pin_to_primary():
        assert reads() == {"default"}
        with pin_to_primary():
            pass
        assert reads() == {"default"}
    assert reads() == {"replica_1", "replica_2"}


@pytest.mark.usefixtures("two_replicas")
def test_a_function_can_be_pinned() -> None:
    assert pin_to_primary()(reads)() == {"default"}


def test_a_replica_that_is_not_healthy_is_not_read(two_replicas: Health) -> None:
    two_replicas.say("replica_1", False)
    assert reads(count=4) == {"replica_2"}
    two_replicas.say("replica_2", False)
    assert reads() == {"default"}


@pytest.mark.usefixtures("two_replicas")
def test_writes_and_migrations_go_to_the_primary() -> None:
    assert ROUTER.db_for_write(Event) == "default"
    assert ROUTER.allow_migrate("default", "relay")
    assert not ROUTER.allow_migrate("replica_1", "relay")
    assert ROUTER.allow_relation(Event(), Event())
