"""Which partitions should exist, and the steps from what a store has. Pure.

Rule: a plan follows from the state of the store alone, so one that was interrupted goes on where it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

MARGIN_SECONDS = 7 * 86_400
"""How far in the future `past` ends at least when a store that holds events is divided: no event may come after it
while that is under way."""

RELEASE_SECONDS = 86_400
"""How long before that a division that nothing has gone on with is given up."""


LAST_SECOND = int(datetime(9_990, 1, 1, tzinfo=UTC).timestamp())
"""The calendar ends soon after it."""


class NoEnd(ValueError):
    """Events may be dated so far ahead that the first partition would not end."""


class Grain(StrEnum):
    """How long a period is."""

    YEAR = "year"
    QUARTER = "quarter"
    MONTH = "month"

    @property
    def months(self) -> int:
        """Its length; every period begins with a month."""
        return {"year": 12, "quarter": 3, "month": 1}[self.value]


@dataclass(frozen=True, slots=True)
class Period:
    """A partition that is to be: times in Unix seconds, `ends` is the first second after it."""

    begins: int
    ends: int

    @property
    def suffix(self) -> str:
        """The part of its name that tells when it begins."""
        return day(self.begins).replace("-", "")


@dataclass(frozen=True, slots=True)
class Partition:
    """One that is. `begins` and `ends` None: without a bound. `suffix`: the last part of its name."""

    suffix: str
    begins: int | None
    ends: int | None
    bytes: int = 0
    estimate: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What a store has. `partitions`: none while it is one table. `newest`: the greatest created_at, None without
    events.

    Of a division that is under way, `until`: where `past` will end, None before it began; `validated`: both constraints
    are; `indexed`: the index for the key is whole. `closes`: the earliest time from which a constraint of it, also one
    that a killed run has left, lets no event in.
    """

    partitions: Sequence[Partition] = ()
    newest: int | None = None
    until: int | None = None
    validated: bool = False
    indexed: bool = False
    closes: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """`name`: what `relay.storage.partitions.steps` does. `text`: for the operator."""

    name: str
    text: str
    period: Period


def day(seconds: int) -> str:
    """The date in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def period_of(grain: Grain, seconds: int) -> Period:
    """The period that a time lies in."""
    when = datetime.fromtimestamp(seconds, UTC)
    month = (when.month - 1) // grain.months * grain.months
    return Period(_month(when.year, month), _month(when.year, month + grain.months))


def _month(year: int, months: int) -> int:
    return int(datetime(year + months // 12, months % 12 + 1, 1, tzinfo=UTC).timestamp())


def plan(state: State, grain: Grain, now: int, ahead: int = 0) -> list[Step]:
    """The steps, in order; none if the store has all that it needs. `ahead`: how far ahead of `now` (Unix seconds) an
    event may be dated. Raises NoEnd.
    """
    if state.partitions:
        ends = max(part.ends for part in state.partitions if part.ends is not None)
        return _periods(ends, grain, now)
    until = None if _is_too_early(state) else state.until
    past = Period(0, _end_of_past(state, grain, now, ahead) if until is None else until)
    steps = []
    if until is None:
        steps.append(Step("constrain", f"let no event after {day(past.ends)} in while this is under way", past))
    if not state.validated:
        steps.append(Step("validate", f"read all events once: none is dated after {day(past.ends)}", past))
    if not state.indexed:
        steps.append(Step("index", "build the index for the key (id, created_at) beside the others", past))
    steps.append(
        Step("switch", f"make the events of until {day(past.ends)} the first partition, with no event moved", past)
    )
    return [*steps, *_periods(past.ends, grain, now)]


def _is_too_early(state: State) -> bool:
    """True if an event has come in beyond the end of `past` before a constraint was there, which can then never be
    validated: into a store that had none, where `past` ends before now.
    """
    newest, until = state.newest, state.until
    return not state.validated and newest is not None and until is not None and newest >= until


def release(state: State, now: int, ahead: int = 0) -> list[Step]:
    """The step that gives up a division before it refuses what clients publish; none while there is time to go on."""
    if state.partitions or state.closes is None or state.closes > now + ahead + RELEASE_SECONDS:
        return []
    text = f"let events after {day(state.closes)} in again, since the division was not ended in time"
    return [Step("release", text, Period(0, state.closes))]


def _end_of_past(state: State, grain: Grain, now: int, ahead: int) -> int:
    """Without events the period of now is the first; with some it is one that has not begun."""
    if state.newest is None:
        return period_of(grain, now).begins
    latest = max(state.newest, now + ahead + MARGIN_SECONDS)
    if latest > LAST_SECOND:
        raise NoEnd(
            "Events may be dated after the year 9989, as RELAY_CREATED_AT_UPPER_LIMIT or a stored one says: no "
            "partition could follow the first."
        )
    return period_of(grain, latest).ends


def _periods(ends: int, grain: Grain, now: int) -> list[Step]:
    """Up to the end of the period after that of `now`."""
    last = period_of(grain, period_of(grain, now).ends).ends
    steps = []
    while ends < last:
        made = Period(ends, period_of(grain, ends).ends)
        steps.append(Step("add", f"add the partition of {day(made.begins)} to {day(made.ends)}", made))
        ends = made.ends
    return steps
