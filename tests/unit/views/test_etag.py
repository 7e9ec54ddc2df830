"""Conditional responses: what a client that has the page already is answered, and what is read of its conditions."""

import pytest
from django.test import RequestFactory

from relay.views.etag import LONGEST_CONDITIONS, conditional_response, etag_of

BODY = b"page"
ETAG = etag_of(BODY)
OTHER = etag_of(b"another page")


def status(**headers: str) -> int:
    request = RequestFactory().get("/", headers={name.replace("_", "-"): value for name, value in headers.items()})
    return conditional_response(request, BODY, ETAG).status_code


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({}, 200),
        ({"If_None_Match": ETAG}, 304),
        ({"If_None_Match": f"W/{ETAG}"}, 304),
        ({"If_None_Match": f"{OTHER}, {ETAG}"}, 304),
        ({"If_None_Match": OTHER}, 200),
        ({"If_Match": OTHER}, 412),
        ({"If_Match": ETAG}, 200),
    ],
)
def test_the_conditions_of_a_client_hold(headers: dict[str, str], expected: int) -> None:
    assert status(**headers) == expected


def test_conditions_are_read_up_to_a_bound() -> None:
    most = LONGEST_CONDITIONS // len(f"{OTHER}, ") - 1
    assert status(If_None_Match=f"{OTHER}, " * most + ETAG) == 304
    assert status(If_None_Match=f"{OTHER}, " * 2 * most + ETAG) == 200
    assert status(If_Match=f"{OTHER}, " * most, If_None_Match=f"{OTHER}, " * most + ETAG) == 200
