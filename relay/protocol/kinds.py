"""The classes of event kinds (NIP-01), and the kinds that have a meaning for the relay.

Rule: every kind 0..65535 is in exactly one class; those that NIP-01 leaves open are regular (01-K01).
"""

from typing import Final

METADATA: Final = 0
CONTACTS: Final = 3
ENCRYPTED_DIRECT_MESSAGE: Final = 4
DELETION: Final = 5
SEAL: Final = 13
VANISH: Final = 62
GIFT_WRAP: Final = 1059
EPHEMERAL_GIFT_WRAP: Final = 21059
AUTH: Final = 22242
HTTP_AUTH: Final = 27235
ONE_TIME_KEYS: Final = frozenset({GIFT_WRAP, EPHEMERAL_GIFT_WRAP})
"""Their key is made for one event and does not tell the sender (59-6)."""
MAX_KIND: Final = 65535
FIRST_EPHEMERAL: Final = 20_000

INDELIBLE_KINDS: Final = frozenset({DELETION, VANISH})
"""Kinds that no deletion takes away (09-10, 09-14)."""

DRAFTS: Final = frozenset({31234, 1234, 10013})
"""Draft wraps, their checkpoints, and the list of relays that hold them (NIP-37)."""

LOGINS: Final = frozenset({AUTH, HTTP_AUTH})
"""Kinds that prove a key to one relay or server; who sees one could use it (NIP-42, NIP-98)."""


def is_replaceable(kind: int) -> bool:
    """0, 3 and 10000..19999: the newest for (pubkey, kind) is kept. 41 is not one of them (01-K02)."""
    return kind in (METADATA, CONTACTS) or 10_000 <= kind < 20_000


def is_ephemeral(kind: int) -> bool:
    """20000..29999: sent to live subscriptions, never stored (01-K04)."""
    return FIRST_EPHEMERAL <= kind < 30_000


def is_addressable(kind: int) -> bool:
    """30000..39999: the newest for (pubkey, kind, d tag) is kept (01-K03)."""
    return 30_000 <= kind < 40_000


def is_regular(kind: int) -> bool:
    """All other kinds: every event is kept (01-K01)."""
    return not (is_replaceable(kind) or 20_000 <= kind < 40_000)
