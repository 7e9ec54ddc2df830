"""What an operator may type to find events."""

import pytest

from relay.admin.search import BadSearch, Search, moment, parse_search
from relay.protocol.nip19 import encode

KEY = "ab" * 32
NPUB = encode("npub", bytes.fromhex(KEY))
NOTE = encode("note", bytes.fromhex(KEY))
NEVENT = encode("nevent", b"\x00\x20" + bytes.fromhex(KEY))
NADDR = encode("naddr", b"\x00\x03a d\x02\x20" + bytes.fromhex(KEY) + b"\x03\x04" + (30_023).to_bytes(4, "big"))


@pytest.mark.parametrize(
    "text, search",
    [
        ("", Search()),
        (KEY.upper(), Search(key=KEY)),
        (f"id:{KEY}", Search(id=KEY)),
        (f"author:{KEY} kind:30023", Search(author=KEY, kind=30_023)),
        (f"pubkey:{KEY}", Search(author=KEY)),
        (NPUB, Search(author=KEY)),
        (f"nostr:{NPUB} kind:1", Search(author=KEY, kind=1)),
        (NOTE, Search(id=KEY)),
        (NEVENT, Search(id=KEY)),
        (NADDR, Search(address=(KEY, 30_023, "a d"))),
        (f"author:{NPUB}", Search(author=KEY)),
        (f"id:{NEVENT}", Search(id=KEY)),
        (f"p:{NPUB}", Search(tag=f"p{KEY}")),
        (f"e:{NOTE}", Search(tag=f"e{KEY}")),
        (f"a:{NADDR}", Search(tag=f"a30023:{KEY}:a d")),
        ("t:bitcoin kind:1", Search(tag="tbitcoin", kind=1)),
        ('t:"two words" since:10', Search(tag="ttwo words", since=10)),
        ("a:30023:abc:d", Search(tag="a30023:abc:d")),
        ("T:https://a.example/?q=1", Search(tag="Thttps://a.example/?q=1")),
        ("since:2026-01-31 until:2026-01-31", Search(since=1_769_817_600, until=1_769_903_999)),
    ],
)
def test_terms_are_understood(text: str, search: Search) -> None:
    assert parse_search(text) == search


@pytest.mark.parametrize(
    "text, hint",
    [
        ("hello", "64 hex digits"),
        ("npub1abc", "does not belong there"),
        (f"{NPUB[:-1]}q", "checksum"),
        (f"id:{NPUB}", "gives no id"),
        (f"author:{NOTE}", "gives no author"),
        (encode("nsec", bytes(32)), "secret key"),
        (encode("naddr", b"\x00\x00\x02\x20" + bytes(32) + b"\x03\x04\x00\x01\x00\x00"), "0 to 65535"),
        ("id:abc", "64 hex digits"),
        ("kind:-1", "0 to 65535"),
        ("kind:70000", "0 to 65535"),
        ("kind:٣", "0 to 65535"),
        ("since:yesterday", "2026-01-31"),
        ("until:2026-13-01", "2026-01-31"),
        ("since:99999999999999999999", "2026-01-31"),
        ("tag:bitcoin", "one letter"),
        ("1:x", "one letter"),
        ("t:", "t:value"),
        ("t:a t:b", "one tag"),
        (":", "one letter"),
    ],
)
def test_what_cannot_be_searched_for_is_answered_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(BadSearch, match=hint):
        parse_search(text)


def test_a_time_with_a_zone_is_that_moment() -> None:
    assert moment("2026-01-31T12:00+01:00") == moment("2026-01-31T11:00") == 1_769_857_200
