"""Which comparisons two regions make, from what each sends to the other."""

import pytest

from replication.reconcile.scope import Floor, Scope, Session, sessions

OLD, OLDER = Floor(((0, 9),), 100), Floor(((1, 1),), 50)


def test_equal_rules_take_one_comparison_both_ways() -> None:
    assert sessions(Scope(), Scope()) == [Session(Scope(), takes=True, gives=True)]


def test_different_rules_take_a_comparison_for_each_direction() -> None:
    ours, theirs = Scope(kinds=(1,)), Scope(authors=("ab" * 32,))

    assert sessions(ours, theirs) == [
        Session(theirs, takes=True, gives=False),
        Session(ours, takes=False, gives=True),
    ]


@pytest.mark.parametrize(
    "ours, theirs, compared", [(True, True, True), (True, False, False), (False, True, False), (False, False, False)]
)
def test_private_kinds_are_compared_if_each_may_read_those_of_the_other(
    ours: bool, theirs: bool, compared: bool
) -> None:
    (session,) = sessions(Scope(private=ours), Scope(private=theirs))

    assert session.scope.private is compared


def test_what_either_side_does_not_keep_is_not_compared() -> None:
    (session,) = sessions(Scope(floors=(OLD,)), Scope(floors=(OLDER, OLD)))

    assert set(session.scope.floors) == {OLD, OLDER}


def test_a_floor_is_a_multirange_of_the_database() -> None:
    assert Floor(((0, 3), (40_000, 65_535)), 5).multirange() == "{[0,3],[40000,65535]}"
