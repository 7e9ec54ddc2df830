"""What is sent to a peer."""

from replication.models import Region, Selection
from replication.selection import Selected

ANNA, BERT = "a" * 64, "b" * 64
HERE, PEER, THIRD = 0, 7, 8


def selected(**settings: object) -> Selected:
    return Selected.of(Region(origin=PEER, **settings))


def test_what_was_published_here_is_sent() -> None:
    assert selected().sends(1, ANNA, HERE)


def test_what_came_from_the_peer_never_goes_back() -> None:
    assert not selected(own_only=False).sends(1, ANNA, PEER)


def test_what_came_from_a_third_region_is_handed_on_only_where_that_is_set() -> None:
    assert not selected(own_only=True).sends(1, ANNA, THIRD)
    assert selected(own_only=False).sends(1, ANNA, THIRD)


def test_private_kinds_are_kept_from_a_peer_that_may_not_read_them() -> None:
    for kind in (4, 1059, 21059):
        assert not selected().sends(kind, ANNA, HERE)
        assert selected(may_read_private=True).sends(kind, ANNA, HERE)


def test_deletions_and_requests_to_vanish_go_with_every_choice_of_kinds() -> None:
    chosen = selected(send=Selection.KINDS, send_kinds=[0, 1])
    assert [kind for kind in (0, 1, 3, 5, 7, 62) if chosen.sends(kind, ANNA, HERE)] == [0, 1, 5, 62]


def test_authors_may_be_chosen() -> None:
    chosen = selected(send=Selection.AUTHORS, send_authors=[ANNA])
    assert chosen.sends(1, ANNA, HERE)
    assert not chosen.sends(1, BERT, HERE)
    assert not chosen.sends(62, BERT, HERE)
