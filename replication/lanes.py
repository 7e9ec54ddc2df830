"""The order in which events are sent: those that replace or remove others, those that are read, those that are counted.

The low lane has the reactions to an event or a page (7, 17): they outnumber all others, and one more or less changes a
number alone. Reposts (6, 16) and zap receipts (9735) are normal: feeds show reposts, and a zap receipt is the proof of
a payment.
"""

from typing import Final

from relay.protocol import kinds
from replication.models import Lane

REACTION: Final = 7
REACTION_TO_PAGE: Final = 17
LOW_KINDS: Final = frozenset({REACTION, REACTION_TO_PAGE})


def lane_of(kind: int) -> Lane:
    """The lane of an event. $LANE in the SQL of this package states the same."""
    if kind in kinds.INDELIBLE_KINDS or kinds.is_replaceable(kind) or kinds.is_addressable(kind):
        return Lane.URGENT
    return Lane.LOW if kind in LOW_KINDS else Lane.NORMAL


LANE_SQL: Final = (
    "CASE WHEN e.kind IN (0, 3, 5, 62) OR e.kind BETWEEN 10000 AND 19999 OR e.kind BETWEEN 30000 AND 39999 "
    f"THEN 'urgent' WHEN e.kind IN ({', '.join(map(str, sorted(LOW_KINDS)))}) THEN 'low' ELSE 'normal' END"
)
