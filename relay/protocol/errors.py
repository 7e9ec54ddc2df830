"""Every refusal of the relay: one enum of prefixes, one tree of exceptions.

Rule: only a `RelayError` is worded for a client. Any other exception is a fault of the relay.
"""

from enum import StrEnum
from typing import ClassVar


class Prefix(StrEnum):
    """The machine-readable prefixes of an OK, CLOSED or NOTICE text (01-E02, NIP-42)."""

    DUPLICATE = "duplicate"
    POW = "pow"
    BLOCKED = "blocked"
    RATE_LIMITED = "rate-limited"
    INVALID = "invalid"
    RESTRICTED = "restricted"
    MUTE = "mute"
    ERROR = "error"
    AUTH_REQUIRED = "auth-required"
    UNSUPPORTED = "unsupported"


class RelayError(Exception):
    """the relay refuses this

    `text` is the whole answer, `<prefix>: <message>`. Without a message, the first line of the class's
    docstring is the message.
    """

    prefix: ClassVar[Prefix] = Prefix.ERROR

    def __init__(self, message: str = "") -> None:
        self.message = message or (type(self).__doc__ or "refused").partition("\n")[0]
        super().__init__(self.message)

    @property
    def text(self) -> str:
        """The answer as sent: `<prefix>: <message>`."""
        return f"{self.prefix}: {self.message}"


class Invalid(RelayError):
    """the message does not follow the protocol"""

    prefix = Prefix.INVALID


class Blocked(RelayError):
    """not accepted here"""

    prefix = Prefix.BLOCKED


class RateLimited(RelayError):
    """too many messages, slow down"""

    prefix = Prefix.RATE_LIMITED


class Restricted(RelayError):
    """not allowed for this pubkey"""

    prefix = Prefix.RESTRICTED


class AuthRequired(RelayError):
    """log in first"""

    prefix = Prefix.AUTH_REQUIRED


class Unsupported(RelayError):
    """this relay does not support that"""

    prefix = Prefix.UNSUPPORTED


class Duplicate(RelayError):
    """already have this event"""

    prefix = Prefix.DUPLICATE


class Pow(RelayError):
    """more proof of work is required"""

    prefix = Prefix.POW


class Failed(RelayError):
    """internal"""

    prefix = Prefix.ERROR
