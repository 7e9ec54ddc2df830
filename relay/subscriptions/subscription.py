"""An open subscription: its filters, its reader, and the position up to which it needs no change.

Rule: a subscription has a position and is sent the matching changes after it, each once, in order. This needs no set of
seen ids and no timer.
"""

from collections.abc import Sequence

from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.subscriptions.kept import Kept
from relay.subscriptions.outbox import Outbox

HELD = 2**63
"""The position of a subscription whose stored answer is not sent yet: no change lies after it."""


class Reader:
    """The receiving client. `audience` grows when it proves a key; `kept` counts its filters."""

    __slots__ = ("audience", "kept")

    def __init__(self, audience: Audience = ANONYMOUS, kept: Kept | None = None) -> None:
        self.audience = audience
        self.kept = kept


Conditions = tuple[tuple[object, ...], ...]
"""What decides whether filters match: all but their limits."""


class FilterGroup:
    """Live subscriptions with equal filters, matched once for each event."""

    __slots__ = ("conditions", "filters", "subscriptions")

    def __init__(self, conditions: Conditions, filters: Sequence[Filter]) -> None:
        self.conditions = conditions
        self.filters = filters
        self.subscriptions: dict[Subscription, None] = {}


class Subscription:
    """One open subscription. `head`: the start of its EVENT frames. `position`: the last change that it does not
    need.
    """

    __slots__ = ("closed", "filters", "group", "head", "kept_bytes", "outbox", "position", "reader")

    def __init__(self, outbox: Outbox, head: bytes, filters: Sequence[Filter], reader: Reader | None = None) -> None:
        """Without a `reader` it receives public events only."""
        self.reader = reader or Reader()
        self.outbox = outbox
        self.head = head
        self.filters = filters
        self.position = HELD
        self.closed = False
        self.kept_bytes = -1
        self.group: FilterGroup | None = None

    def frame(self, text: bytes) -> bytes:
        """The EVENT frame of a stored text for this subscription."""
        return self.head + text + b"]"


def matches_any(filters: Sequence[Filter], event: StoredEvent) -> bool:
    """True if any of the filters matches."""
    for flt in filters:  # noqa: SIM110 - the hot path: a generator costs more than the loop
        if flt.matches(event):
            return True
    return False
