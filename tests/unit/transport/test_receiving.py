"""The budget of messages that are being received, against a list that is searched."""

from hypothesis import given
from hypothesis import strategies as st

from relay.transport.receiving import Receiving

LIMIT = 100


class Holding:
    """Notes that it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def give_back(self) -> None:
        self.asked += 1


Step = tuple[int, int | None]


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(1, 60)))))
def test_the_first_to_begin_gives_back_until_the_rest_fits(steps: list[Step]) -> None:
    receiving, holders = Receiving(LIMIT), [Holding() for _ in range(6)]
    expected: list[tuple[int, int]] = []  # number and size, in the order of their begin
    asked = [0] * 6
    for number, size in steps:
        if size is None:
            receiving.release(holders[number])
            expected = [each for each in expected if each[0] != number]
        else:
            receiving.hold(holders[number], size)
            if number in dict(expected):
                expected = [(each, size if each == number else held) for each, held in expected]
            else:
                expected.append((number, size))
            while sum(held for _, held in expected) > LIMIT:
                asked[expected.pop(0)[0]] += 1
        assert receiving.total == sum(held for _, held in expected) <= LIMIT
        assert [holder.asked for holder in holders] == asked
