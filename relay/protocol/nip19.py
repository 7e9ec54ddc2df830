"""Identifiers that people copy and paste (NIP-19): npub, note, nprofile, nevent and naddr, as bech32 (BIP-173).

Rule: a text is decoded completely or not at all. A secret key (nsec, ncryptsec) is refused and never repeated.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import xor

LONGEST = 5_000
"""Characters of an identifier, as NIP-19 advises; relay hints make them long."""

SECRETS = ("nsec", "ncryptsec")

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {letter: number for number, letter in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_MASKS = tuple(reduce(xor, (term for place, term in enumerate(_GENERATOR) if top >> place & 1), 0) for top in range(32))
"""What the five highest bits of a checksum change in the next one."""

_CHECKSUM = 6

_SPECIAL, _RELAY, _AUTHOR, _KIND = range(4)
"""TLV types."""


class NotAName(ValueError):
    """the text is no NIP-19 name

    The message tells a person what is wrong with it, without the text itself.
    """


@dataclass(frozen=True, slots=True)
class Name:
    """What an identifier refers to; None where it says nothing. Keys and ids are 64 hex digits.

    npub and nprofile: `author`. note and nevent: `id`, of nevent perhaps `author` and `kind`. naddr: `author`, `kind`
    and `identifier`, the value of the `d` tag.
    """

    form: str
    id: str | None = None
    author: str | None = None
    kind: int | None = None
    identifier: str | None = None
    relays: tuple[str, ...] = ()


def is_name(text: str) -> bool:
    """True if `text` looks like a NIP-19 identifier or a secret key, valid or not, with or without `nostr:`."""
    return _bare(text).lower().startswith(tuple(f"{form}1" for form in (*_READERS, *SECRETS)))


def decode(text: str) -> Name:
    """The identifier in `text`; a leading `nostr:` (NIP-21) is allowed. Raises NotAName."""
    form, data = _bech32(_bare(text))
    if form in SECRETS:
        raise NotAName("That is a secret key: do not paste it anywhere. It lets others publish in your name.")
    reader = _READERS.get(form)
    if reader is None:
        raise NotAName("That is no npub, note, nprofile, nevent or naddr.")
    return reader(form, data)


def encode(form: str, data: bytes) -> str:
    """`data` as bech32 with the prefix `form`; for npub and note the 32 bytes themselves."""
    values = list(_regrouped(data, 8, 5, pad=True))
    check = _polymod([*_expanded(form), *values, *([0] * _CHECKSUM)]) ^ 1
    values += [(check >> 5 * (_CHECKSUM - 1 - place)) & 31 for place in range(_CHECKSUM)]
    return f"{form}1{''.join(_ALPHABET[value] for value in values)}"


def _bare(text: str) -> str:
    return text[6:] if text[:6].lower() == "nostr:" else text


def _bech32(text: str) -> tuple[str, bytes]:
    """Prefix and data of a bech32 text."""
    if len(text) > LONGEST:
        raise NotAName(f"A name has at most {LONGEST} characters.")
    if text not in (text.lower(), text.upper()):
        raise NotAName("Small and capital letters are mixed.")
    form, _, rest = text.lower().rpartition("1")
    values = [_VALUES.get(letter, -1) for letter in rest]
    if not form or len(values) < _CHECKSUM or -1 in values:
        raise NotAName("A character in it does not belong there.")
    if _polymod([*_expanded(form), *values]) != 1:
        raise NotAName("Its checksum is wrong: a character is missing or mistyped.")
    return form, bytes(_regrouped(values[:-_CHECKSUM], 5, 8, pad=False))


def _polymod(values: Iterable[int]) -> int:
    check = 1
    for value in values:
        check = (check & 0x1FFFFFF) << 5 ^ value ^ _MASKS[check >> 25]
    return check


def _expanded(form: str) -> list[int]:
    codes = [ord(letter) for letter in form]
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def _regrouped(values: Iterable[int], from_bits: int, to_bits: int, *, pad: bool) -> Iterator[int]:
    """The same bits in groups of another size. Without `pad` the rest must be zeros, fewer than a group."""
    held = bits = 0
    for value in values:
        held, bits = held << from_bits | value, bits + from_bits
        while bits >= to_bits:
            bits -= to_bits
            yield held >> bits & (1 << to_bits) - 1
        held &= (1 << bits) - 1
    if pad and bits:
        yield held << (to_bits - bits)
    elif not pad and (bits >= from_bits or held):
        raise NotAName("Its end is cut off.")


def _key(data: bytes) -> str:
    if len(data) != 32:
        raise NotAName("It does not hold a key or an id of 32 bytes.")
    return data.hex()


def _tlv(data: bytes) -> dict[int, list[bytes]]:
    """TLV values by type. Unknown types are kept and ignored."""
    found: dict[int, list[bytes]] = {}
    place = 0
    while place < len(data):
        length = data[place + 1] if place + 1 < len(data) else len(data)
        value = data[place + 2 : place + 2 + length]
        if len(value) != length:
            raise NotAName("Its end is cut off.")
        found.setdefault(data[place], []).append(value)
        place += 2 + length
    return found


def _npub(form: str, data: bytes) -> Name:
    return Name(form, author=_key(data))


def _note(form: str, data: bytes) -> Name:
    return Name(form, id=_key(data))


def _profile(form: str, data: bytes) -> Name:
    entries = _tlv(data)
    return Name(form, author=_key(_first(entries, _SPECIAL)), relays=_relays(entries))


def _event(form: str, data: bytes) -> Name:
    entries = _tlv(data)
    author = _key(_first(entries, _AUTHOR)) if _AUTHOR in entries else None
    kind = _number(_first(entries, _KIND)) if _KIND in entries else None
    return Name(form, id=_key(_first(entries, _SPECIAL)), author=author, kind=kind, relays=_relays(entries))


def _address(form: str, data: bytes) -> Name:
    entries = _tlv(data)
    try:
        identifier = _first(entries, _SPECIAL).decode()
    except UnicodeDecodeError:
        raise NotAName("Its identifier is no text.") from None
    author, kind = _key(_first(entries, _AUTHOR)), _number(_first(entries, _KIND))
    return Name(form, author=author, kind=kind, identifier=identifier, relays=_relays(entries))


def _first(entries: dict[int, list[bytes]], kind: int) -> bytes:
    if kind not in entries:
        raise NotAName("A part of it is missing.")
    return entries[kind][0]


def _number(value: bytes) -> int:
    if len(value) != 4:
        raise NotAName("Its kind is no number of four bytes.")
    return int.from_bytes(value, "big")


def _relays(entries: dict[int, list[bytes]]) -> tuple[str, ...]:
    return tuple(value.decode("ascii", "replace") for value in entries.get(_RELAY, ()))


_READERS = {"npub": _npub, "note": _note, "nprofile": _profile, "nevent": _event, "naddr": _address}
