"""What became of the lines of an import: a count for each outcome, with examples of the lines that were refused."""

from collections.abc import Iterable

import msgspec

from relay.ingest.outcome import Outcome, Status

MAX_REASONS = 50
"""Reasons counted by themselves; texts are the relay's own, but a policy may put a value into them."""

MAX_EXAMPLES = 3
EXAMPLE_CHARACTERS = 100
OTHER = "other reasons"
TOO_LONG = "invalid: the line is longer than an event may be"

_TAKEN = (Status.STORED, Status.DUPLICATE, Status.OUTDATED, Status.EPHEMERAL)
LABELS = {
    "stored": "stored",
    "duplicate": "duplicate: stored before",
    "outdated": "outdated: a newer version is stored",
    "ephemeral": "ephemeral: delivered to subscriptions, not stored",
}


class Example(msgspec.Struct):
    """A refused line: its number, from 1, and its beginning."""

    line: int
    text: str


class Refusals(msgspec.Struct):
    """The lines refused for one reason."""

    count: int = 0
    examples: list[Example] = []

    def add(self, number: int, line: bytes) -> None:
        """Count a line."""
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            text = line[: 4 * EXAMPLE_CHARACTERS].decode(errors="replace")[:EXAMPLE_CHARACTERS]
            text = "".join([character if character.isprintable() else "?" for character in text])
            self.examples.append(Example(number, text))


class Tally(msgspec.Struct):
    """Counts of lines. `taken` by status; `refused` by the reason that a client would be told."""

    taken: dict[str, int] = {}
    refused: dict[str, Refusals] = {}

    @property
    def refusals(self) -> int:
        """Lines that were refused."""
        return sum(refusals.count for refusals in self.refused.values())

    @property
    def total(self) -> int:
        """All lines but blank ones."""
        return sum(self.taken.values()) + self.refusals

    def add(self, outcome: Outcome, number: int, line: bytes) -> None:
        """Count the outcome of an event."""
        if outcome.status in _TAKEN:
            name = outcome.status.value
            self.taken[name] = self.taken.get(name, 0) + 1
        else:
            self.refuse(outcome.text, number, line)

    def refuse(self, reason: str, number: int, line: bytes) -> None:
        """Count a line that was refused for `reason`."""
        self._refusals(reason).add(number, line)

    def merge(self, other: "Tally") -> None:
        """Add the counts of another tally, whose lines come later."""
        for name, count in other.taken.items():
            self.taken[name] = self.taken.get(name, 0) + count
        for reason, refusals in other.refused.items():
            mine = self._refusals(reason)
            mine.count += refusals.count
            mine.examples = (mine.examples + refusals.examples)[:MAX_EXAMPLES]

    def _refusals(self, reason: str) -> Refusals:
        if reason not in self.refused and len(self.refused) >= MAX_REASONS:
            reason = OTHER
        return self.refused.setdefault(reason, Refusals())

    def text(self) -> Iterable[str]:
        """The lines of a report."""
        for name, label in LABELS.items():
            if count := self.taken.get(name):
                yield f"{count:>12,}  {label}"
        for reason, refusals in sorted(self.refused.items(), key=lambda item: -item[1].count):
            yield f"{refusals.count:>12,}  refused: {reason}"
            for example in refusals.examples:
                yield f"{'':14}line {example.line:,}: {example.text}"
