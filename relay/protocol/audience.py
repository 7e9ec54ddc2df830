"""The reader: the public keys that a connection has proved to hold (NIP-42).

Rule: every path that sends events takes the audience of the receiver; only `relay.protocol.visibility` decides by it.
"""

from collections.abc import Iterable

from msgspec import Struct


class Audience(Struct, frozen=True, gc=False):
    """`keys`: proved public keys, 64 hex digits each. `tag_keys`: their `p` tags, as in `StoredEvent.tag_keys`."""

    keys: frozenset[str]
    tag_keys: frozenset[str]

    @classmethod
    def of(cls, keys: Iterable[str]) -> "Audience":
        """The audience of these public keys."""
        proved = frozenset(keys)
        return cls(proved, frozenset(["p" + key for key in proved]))

    def __bool__(self) -> bool:
        return bool(self.keys)


ANONYMOUS = Audience.of(())
"""The audience of an anonymous client, which may read public events."""
