"""What a run has compared, and what it healed on each side."""

from collections import Counter
from dataclasses import dataclass, field

from relay.ingest.outcome import Status
from replication.answers import MAX_REASON
from replication.client import printable

MOST_REASONS = 100
OTHER_REASONS = "other reasons"


@dataclass(slots=True)
class Report:
    """Counts of one run. `taken` and `given`: events by outcome, here and at the peer; `refusals`: their reasons.

    `absent`: events that the peer named and no longer had; `faulty`: texts from it that are no such events.
    """

    windows: int = 0
    differing: int = 0
    compared: int = 0
    rounds: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    absent: int = 0
    faulty: int = 0
    is_whole: bool = False
    """False if the run was stopped before the last window."""

    @property
    def received(self) -> int:
        """Events that were lacking here and are stored now."""
        return self.taken[Status.STORED.value]

    @property
    def sent(self) -> int:
        """Events that the peer lacked and has stored."""
        return self.given[Status.STORED.value]

    def refused(self, reason: str) -> None:
        """Count a reason. A peer may have a new one for each event: beyond MOST_REASONS they are counted together."""
        reason = printable(reason[:MAX_REASON])
        known = reason in self.refusals or len(self.refusals) < MOST_REASONS
        self.refusals[reason if known else OTHER_REASONS] += 1

    def text(self) -> list[str]:
        """Lines for an operator."""
        lines = [
            f"{self.windows:,} windows with {self.compared:,} events compared, {self.differing:,} of them differed",
            f"here:     {_listed(self.taken)}",
            f"at peer:  {_listed(self.given)}",
        ]
        if self.absent:
            lines.append(f"{self.absent:,} events were gone at the peer when they were fetched")
        if self.faulty:
            lines.append(f"{self.faulty:,} texts of the peer are no events that were asked for, or are not signed")
        lines += [f"  {count:,}  {reason}" for reason, count in self.refusals.most_common(10)]
        return lines


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items())) or "nothing was lacking"
