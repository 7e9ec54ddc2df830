"""Totals of the transport only grow."""

from relay.transport.counters import Counters

NOT_TOTALS = {"closes", "connections_open"}


def test_the_end_of_a_connection_takes_nothing_from_what_was_counted() -> None:
    counted = Counters()
    totals = [name for name in Counters.__slots__ if name not in NOT_TOTALS]
    for name in totals:
        setattr(counted, name, 7)

    counted.closed(1000)
    counted.closed(1006)
    counted.closed(1000)

    assert {name: getattr(counted, name) for name in totals} == dict.fromkeys(totals, 7)
    assert counted.closes == {1000: 2, 1006: 1}


def test_codes_that_clients_choose_freely_are_counted_by_the_thousand() -> None:
    counted = Counters()
    for code in range(3_000, 5_000):
        counted.closed(code)
    counted.closed(1_001)
    assert counted.closes == {3_000: 1_000, 4_000: 1_000, 1_001: 1}
