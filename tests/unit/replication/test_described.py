"""Regions in the settings of the first start."""

import pytest

from replication.described import location_of, peer_of

SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"


def test_a_peer_with_all_that_can_be_said() -> None:
    found = peer_of(f"us=https://us.example.com:8443?secret={SECRET}&lat=40.71&lon=-74.01&relay=wss://us.example.com")
    assert (found.name, found.endpoint, found.secret) == ("us", "https://us.example.com:8443", SECRET)
    assert (found.location, found.relay_urls) == ((40.71, -74.01), ("wss://us.example.com",))


def test_its_text_has_no_secret() -> None:
    found = peer_of(f"us=https://us.example.com?secret={SECRET}")
    assert SECRET not in f"{found} {found!r}"


@pytest.mark.parametrize(
    "wrong",
    [
        "https://us.example.com",
        "u s=https://us.example.com",
        "us=ftp://us.example.com",
        "us=https://us.example.com/path",
        "us=https://me@us.example.com",
        "us=https://us.example.com?secret=short",
        "us=https://us.example.com?lat=1",
        "us=https://us.example.com?lat=91&lon=0",
        "us=https://us.example.com?relay=https://us.example.com",
        "us=https://us.example.com?wieght=3",
    ],
)
def test_what_cannot_be_read_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"must|has|needs"):
        peer_of(wrong)


@pytest.mark.parametrize("wrong", ["", "1", "1,2,3", "a,b", "90.1,0", "0,180.1", "nan,0"])
def test_a_location_is_on_the_globe(wrong: str) -> None:
    with pytest.raises(ValueError, match="must"):
        location_of(wrong)
