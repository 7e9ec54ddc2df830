"""The one predicate that every read path asks before an event leaves the relay (X-1).

Rule: SQL states the same in its own words, from these names; nothing else may hide or show an event.
"""

from typing import Final

from relay.protocol import kinds
from relay.protocol.event import StoredEvent

NEVER_SERVED_KINDS: Final[frozenset[int]] = frozenset(
    {kinds.ENCRYPTED_DIRECT_MESSAGE, kinds.GIFT_WRAP, kinds.EPHEMERAL_GIFT_WRAP, kinds.AUTH}
)
"""Kinds for their recipients alone, who cannot log in yet (NIP-04, NIP-59), and logins (42-4)."""


def visible(event: StoredEvent, now: int) -> bool:
    """True if the event may be sent at `now` (seconds since 1970); it is gone from `expires_at` on (40-1, 40-2)."""
    return event.kind not in NEVER_SERVED_KINDS and (event.expires_at is None or event.expires_at > now)
