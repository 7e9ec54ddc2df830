"""The limits on what a client may send. NIP-11 publishes them; every one is enforced (11-4)."""

from dataclasses import dataclass

from relay.protocol.retention import Rule


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one relay; the defaults are those of the settings."""

    max_message_length: int = 1_048_576  # bytes of one WebSocket message; the transport enforces it
    max_subscriptions: int = 300  # of one connection
    max_limit: int = 1_000  # stored events for one filter, never more
    default_limit: int = 500  # stored events for a filter without a limit
    max_subid_length: int = 64  # code points
    max_event_tags: int = 10_000
    max_content_length: int = 131_072  # code points
    created_at_lower_limit: int = 0  # seconds back from now; 0: no limit
    created_at_upper_limit: int = 900  # seconds ahead of now
    max_filters: int = 20  # of one REQ; not published (11-6)
    max_filter_values: int = 30_000  # in all lists of one REQ; not published
    min_pow_difficulty: int = 0  # leading zero bits of an id (NIP-13)
    min_pow_by_kind: tuple[tuple[int, int], ...] = ()  # (kind, bits), in place of min_pow_difficulty
    auth_to_read: bool = False  # every REQ needs a login (NIP-42); for some kinds alone: relay.protocol.visibility
    auth_to_write: frozenset[int] | None = frozenset()  # kinds whose publishing needs one; None: all

    @property
    def asks_work(self) -> bool:
        """True if some kind of event needs proof of work."""
        return self.min_pow_difficulty > 0 or any(bits for _, bits in self.min_pow_by_kind)

    def pow_asked(self, kind: int) -> int:
        """The least difficulty of events of this kind, 0 if no work is asked."""
        for each, bits in self.min_pow_by_kind:
            if each == kind:
                return bits
        return self.min_pow_difficulty

    ephemeral_seconds: int = 60  # greatest age of an ephemeral event; 0: no limit; not published
    restricted_writes: bool = False  # only listed keys publish
    restricted_kinds: bool = False  # only listed kinds are accepted
    retention: tuple[Rule, ...] = ()  # the rules of the settings; operators may list more
