"""Names of NIP-19: its own examples, and whatever nostr-sdk writes."""

import contextlib
from typing import Any

import nostr_sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.nip19 import LONGEST, Name, NotAName, decode, encode, is_name
from tests.events import pubkey_of, secret

NPUB = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
NSEC = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
NPROFILE = (
    "nprofile1qqsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgukyawd24mayt8gpp4mhxue69uhhytnc9e3k7mgpz4mhxue69uhkg6nzv9ejuump"
    "v34kytnrdaksjlyr9p"
)

ids = st.binary(min_size=32, max_size=32)
authors = st.integers(1, 200).map(lambda number: pubkey_of(secret(number)))
kinds = st.integers(0, 65_535)
relays = st.lists(st.from_regex(r"wss://[a-z]{1,30}\.example\.com", fullmatch=True), max_size=3)


def test_an_npub_of_nip_19_is_its_key() -> None:
    author = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"

    assert decode(NPUB) == Name("npub", author=author)
    assert encode("npub", bytes.fromhex(author)) == NPUB


def test_an_nprofile_of_nip_19_is_its_key_and_relays() -> None:
    assert decode(NPROFILE) == Name(
        "nprofile",
        author="3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d",
        relays=("wss://r.x.com", "wss://djbas.sadkb.com"),
    )


@pytest.mark.parametrize("text", [f"nostr:{NPUB}", NPUB.upper(), f"NOSTR:{NPUB.upper()}"])
def test_a_name_may_be_a_uri_or_in_capitals(text: str) -> None:
    assert decode(text) == decode(NPUB)


@given(ids, st.none() | authors, st.none() | kinds, relays)
def test_an_nevent_of_nostr_sdk_is_read(id: bytes, author: str | None, kind: int | None, hints: list[str]) -> None:
    written = nostr_sdk.Nip19Event(
        nostr_sdk.EventId.parse(id.hex()),
        None if author is None else nostr_sdk.PublicKey.parse(author),
        None if kind is None else nostr_sdk.Kind(kind),
        [nostr_sdk.RelayUrl.parse(hint) for hint in hints],
    ).to_bech32()

    name = decode(written)

    assert (name.form, name.id, name.author, name.kind) == ("nevent", id.hex(), author, kind)
    assert [hint.rstrip("/") for hint in name.relays] == hints


@given(authors, st.integers(30_000, 39_999), st.text(max_size=60), relays)
def test_an_naddr_of_nostr_sdk_is_read(author: str, kind: int, identifier: str, hints: list[str]) -> None:
    address = nostr_sdk.Coordinate(nostr_sdk.Kind(kind), nostr_sdk.PublicKey.parse(author), identifier)
    written = nostr_sdk.Nip19Coordinate(address, [nostr_sdk.RelayUrl.parse(hint) for hint in hints]).to_bech32()

    name = decode(written)

    assert (name.form, name.author, name.kind, name.identifier) == ("naddr", author, kind, identifier)


@given(ids, authors)
def test_notes_and_npubs_are_written_as_nostr_sdk_writes_them(id: bytes, author: str) -> None:
    assert encode("note", id) == nostr_sdk.EventId.parse(id.hex()).to_bech32()
    assert encode("npub", bytes.fromhex(author)) == nostr_sdk.PublicKey.parse(author).to_bech32()
    assert decode(encode("note", id)) == Name("note", id=id.hex())


@given(st.integers(5, len(NPUB) - 1), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7lbio1"))
def test_one_wrong_character_is_noticed(place: int, letter: str) -> None:
    text = NPUB[:place] + letter + NPUB[place + 1 :]
    if text != NPUB:
        with pytest.raises(NotAName):
            decode(text)


@given(st.text(max_size=100) | st.binary(max_size=300).map(lambda data: encode("nevent", data)))
def test_no_text_does_worse_than_being_no_name(text: str) -> None:
    with contextlib.suppress(NotAName):
        decode(text)


def broken(form: str, data: bytes) -> Any:
    return pytest.param(encode(form, data), id=f"{form} {data[:3].hex()}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "npub1",
        "1qqqqqq",
        NPUB[:-1],
        NPUB[:20].upper() + NPUB[20:],
        "npub1" + "q" * LONGEST,
        "lnbc1pvjluezpp5qqqsyq",
        broken("npub", b"short"),
        broken("nprofile", b"\x00\x20short"),
        broken("nprofile", b"\x01\x00"),
        broken("nevent", b"\x00\x02ab"),
        broken("nevent", b"\x00\x20" + bytes(32) + b"\x03\x01\x01"),
        broken("naddr", b"\x00\x01\xff\x02\x20" + bytes(32) + b"\x03\x04\x00\x00\x75\x30"),
        broken("nrelay", b"\x00\x01a"),
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(NotAName):
        decode(text)


def test_a_secret_key_is_refused_and_not_repeated() -> None:
    with pytest.raises(NotAName, match="secret key") as refused:
        decode(NSEC)

    assert NSEC[5:] not in str(refused.value)
    assert is_name(NSEC)


@pytest.mark.parametrize("text, expected", [(NPUB, True), (f"nostr:{NPUB}", True), ("npub", False), ("bitcoin", False)])
def test_identifiers_are_recognised(text: str, expected: bool) -> None:
    assert is_name(text) is expected
