"""The parameters of `GET /api/popular`: what is accepted, and what a wrong one is told."""

from urllib.parse import parse_qsl

import pytest

from analytics.views.popular import question as asked
from relay.views.api import BadParameter


def parsed(text: str) -> tuple[int, str, int]:
    return asked(dict(parse_qsl(text)))


@pytest.mark.parametrize(
    "text, expected",
    [("", (1, "week", 20)), ("limit=1", (1, "week", 1)), ("kind=1&period=day&limit=100", (1, "day", 100))],
)
def test_what_is_left_out_has_a_default(text: str, expected: tuple[int, str, int]) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    "question, told",
    [
        ("kind=4", "kind must be one of 1"),
        ("kind=x", "kind must be a whole number"),
        ("period=year", "period must be one of hour, day, week"),
        ("limit=0", "limit must be from 1 to 100"),
        ("limit=101", "limit must be from 1 to 100"),
        ("limit=-1", "limit must be a whole number"),
        ("limit=%C2%B2", "limit must be a whole number"),
        ("limit=99999999999999999999", "limit must be a whole number"),
        ("sort=x", "'sort' is not a parameter: known are kind, period and limit"),
    ],
)
def test_a_wrong_parameter_is_named(question: str, told: str) -> None:
    with pytest.raises(BadParameter) as raised:
        parsed(question)
    assert str(raised.value) == told
