"""What became of a submitted event."""

from enum import Enum
from typing import Final

from msgspec import Struct

from relay.protocol.errors import Blocked, Duplicate, Failed, RelayError


class Status(Enum):
    """The machine-readable result. Only after FAILED is another try with the same event worthwhile."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    OUTDATED = "outdated"
    EPHEMERAL = "ephemeral"
    SHADOWED = "shadowed"
    REFUSED = "refused"
    FAILED = "failed"


_ACCEPTED = frozenset({Status.STORED, Status.DUPLICATE, Status.EPHEMERAL, Status.SHADOWED})


class Outcome(Struct, frozen=True, gc=False):
    """`text` is the reason in the protocol's form, `<prefix>: <message>`; empty only for a new event (01-E01)."""

    status: Status
    text: str = ""

    @property
    def accepted(self) -> bool:
        """The third element of OK: the relay has the event, or has delivered it."""
        return self.status in _ACCEPTED

    @property
    def prefix(self) -> str:
        """The prefix of `text` (01-E02); empty without a text."""
        return self.text.partition(":")[0]

    @classmethod
    def of(cls, error: RelayError) -> "Outcome":
        """The outcome of an event refused with `error`."""
        return cls(Status.FAILED if isinstance(error, Failed) else Status.REFUSED, error.text)


STORED: Final = Outcome(Status.STORED)
EPHEMERAL: Final = Outcome(Status.EPHEMERAL)
SHADOWED: Final = Outcome(Status.SHADOWED)
"""The client is told that all is well, and the event goes nowhere."""
DUPLICATE: Final = Outcome(Status.DUPLICATE, Duplicate("already have this event").text)
OUTDATED: Final = Outcome(Status.OUTDATED, Duplicate("have newer event").text)
DELETED: Final = Outcome(Status.REFUSED, Blocked("deleted by author").text)
FAILED: Final = Outcome.of(Failed("the event could not be stored, try again"))
