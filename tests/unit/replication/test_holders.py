"""The names under which senders hold leases: an instance that starts ends those of its dead predecessor alone."""

from replication.models import PeerLane
from replication.send.push import holders_of

HEX_OF_A_RUN = 32


def test_pods_of_one_deployment_do_not_end_the_leases_of_each_other() -> None:
    one, other = "production-eu-relay-worker-7c9f8d6b5c-abcde", "production-eu-relay-worker-7c9f8d6b5c-fghij"
    assert not holders_of(one).startswith(holders_of(other))
    assert holders_of(one) == holders_of(one)


def test_a_short_name_is_read_in_the_holder_and_none_is_the_beginning_of_another() -> None:
    assert holders_of("relay-1") == "relay-1:"
    assert not holders_of("relay-10").startswith(holders_of("relay-1"))


def test_a_holder_fits_its_column() -> None:
    column = PeerLane._meta.get_field("holder")
    assert column.max_length is not None
    assert max(len(holders_of("x" * length)) for length in range(1, 100)) + HEX_OF_A_RUN <= column.max_length
