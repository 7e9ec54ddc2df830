"""Sets of numbers whose hashes are equal, as a client can make them.

The hash of a frozenset is made of the exclusive or of what becomes of each number, 64 bits. Of 66 of these values or
fewer some make up zero; the one half of their numbers can stand in a set for the other half.
"""

from itertools import islice

_BITS = 64
_MASK = (1 << _BITS) - 1


def _mixed(number: int) -> int:
    """What CPython makes of the hash of a member (Objects/setobject.c, _shuffle_bits)."""
    return ((number ^ 89_869_747 ^ (number << 16)) * 3_644_798_167) & _MASK


def _halves() -> list[tuple[frozenset[int], frozenset[int]]]:
    found: list[tuple[frozenset[int], frozenset[int]]] = []
    numbers = iter(range(65_536))
    while len(found) < 5:
        basis: dict[int, tuple[int, frozenset[int]]] = {}
        for number in numbers:
            value, members = _mixed(number) | 1 << _BITS, frozenset((number,))  # the highest bit: of an even number
            while value and (known := basis.get(value.bit_length())) is not None:
                value, members = value ^ known[0], members ^ known[1]
            if not value:
                half = frozenset(islice(members, len(members) // 2))
                found.append((half, members - half))
                break
            basis[value.bit_length()] = value, members
    return found


def colliding_kinds() -> list[frozenset[int]]:
    """32 different sets of as many kinds with one hash."""
    pairs = _halves()
    return [
        frozenset().union(*(pair[number >> place & 1] for place, pair in enumerate(pairs)))
        for number in range(2 ** len(pairs))
    ]
