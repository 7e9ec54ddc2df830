"""Plain integers that the hot path adds to; whoever shows them reads them when asked."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """What one process has counted since it started."""

    connections_refused: int = 0
    messages: int = 0
    events_received: int = 0
    events_stored: int = 0
    events_ephemeral: int = 0
    events_duplicate: int = 0
    rejections: Counter[str] = field(default_factory=Counter)  # by prefix
    queries: int = 0
    queries_failed: int = 0
    log_reads: int = 0
    log_changes: int = 0
    outbox_closures: int = 0
    internal_errors: int = 0


counters = Counters()
"""Those of this process."""
