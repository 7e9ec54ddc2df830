"""The classes of kinds."""

import pytest

from relay.protocol.kinds import is_addressable, is_ephemeral, is_regular, is_replaceable


@pytest.mark.parametrize("kind", [1, 2, 4, 5, 41, 44, 45, 62, 999, 1_000, 9_999, 40_000, 65_535])
def test_01_k01_regular_kinds_and_those_without_a_class_are_regular(kind: int) -> None:
    assert is_regular(kind)


@pytest.mark.parametrize("kind", [0, 3, 10_000, 19_999])
def test_01_k02_replaceable_kinds(kind: int) -> None:
    assert is_replaceable(kind)


def test_01_k02_kind_41_is_not_replaceable() -> None:
    assert not is_replaceable(41)


@pytest.mark.parametrize("kind", [30_000, 39_999])
def test_01_k03_addressable_kinds(kind: int) -> None:
    assert is_addressable(kind)


@pytest.mark.parametrize("kind", [20_000, 29_999])
def test_01_k04_ephemeral_kinds(kind: int) -> None:
    assert is_ephemeral(kind)


def test_every_kind_has_exactly_one_class() -> None:
    classes = (is_regular, is_replaceable, is_ephemeral, is_addressable)
    assert all(sum(is_of(kind) for is_of in classes) == 1 for kind in range(65_536))
