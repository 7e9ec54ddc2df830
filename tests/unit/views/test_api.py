"""What the endpoints under /api/ read of a query."""

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from relay.views.api import MOST_FIELDS, BadParameter, query_of
from relay.views.profiles import MAX_PUBKEYS, requested_pubkeys

KEY = "ab" * 32


def request(fields: int) -> HttpRequest:
    return RequestFactory().get("/api/profiles?" + "&".join([f"pubkey={KEY}"] * fields))


def test_a_query_is_read_up_to_a_bound_of_fields() -> None:
    assert query_of(request(MOST_FIELDS)).getlist("pubkey") == [KEY] * MOST_FIELDS
    with pytest.raises(BadParameter, match=f"at most {MOST_FIELDS} parameters"):
        query_of(request(MOST_FIELDS + 1))


def test_an_author_may_be_named_more_often_than_there_may_be_authors() -> None:
    assert requested_pubkeys(request(MAX_PUBKEYS + 1)) == [KEY]
    with pytest.raises(BadParameter, match="parameters"):
        requested_pubkeys(request(MOST_FIELDS + 1))
