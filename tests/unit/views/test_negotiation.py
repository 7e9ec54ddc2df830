"""Who gets the document and who gets the page (11-1, 11-7)."""

import pytest

from relay.views.negotiation import LONGEST, accepts

MEDIA_TYPE = "application/nostr+json"


@pytest.mark.parametrize(
    "header",
    [
        "application/nostr+json",
        "Application/Nostr+JSON",
        "text/html, application/nostr+json",
        "text/html;q=0.9,application/nostr+json;q=0.1,*/*;q=0.8",
        " application/nostr+json ; charset=utf-8 ; Q=0.5",
        "application/nostr+json;q=much",
    ],
)
def test_11_1_a_header_that_names_the_media_type_accepts_it(header: str) -> None:
    assert accepts(header, MEDIA_TYPE)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "*/*",
        "application/*",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "application/nostr+json;q=0",
        "application/nostr+json;q=0.000",
        "application/nostr+json+rpc",
        "application/json",
        ";,;;q=,",
    ],
)
def test_11_7_any_other_header_does_not(header: str) -> None:
    assert not accepts(header, MEDIA_TYPE)


def test_a_header_is_read_up_to_a_bound() -> None:
    assert accepts("a/b," * (LONGEST // 8) + MEDIA_TYPE, MEDIA_TYPE)
    assert not accepts("a/b," * (LONGEST // 4) + MEDIA_TYPE, MEDIA_TYPE)
