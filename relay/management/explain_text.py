"""The explanation of a query in words and as JSON. Pure.

An operator learns which indexes were walked, what that cost, whether a bound was met, and what to do about it.
"""

from collections.abc import Iterator
from typing import Any

from relay.storage.explain import Attempt, Explanation, Outcome
from relay.storage.query_cost import query_cost
from relay.storage.query_plan import LARGE_TABLES, Access, PlanFigures, tree

LONGEST_VALUE = 200
"""Characters shown of a parameter; --json has all."""

WASTE = 20
"""A statement that reads more entries than this for each event that it returns looks through other events."""

FEW_ENTRIES = 1_000
"""Reading this many costs a few milliseconds, however few are returned."""

MUCH_FROM_DISK = 4_194_304
"""Bytes."""

MANY_VISITED = 1_000

OUTCOMES = {
    Outcome.SENT: "The answer is whole.",
    Outcome.STOPPED: "A walk stopped at its bound on entries read, and the answer is not whole.",
    Outcome.LARGE: "The texts exceed 1 MiB: the relay asks for their keys, and fetches the texts in pieces.",
    Outcome.VANISHING: "Rows of keys that asked to vanish are still being removed: the relay asks again, without them.",
    Outcome.TIMED_OUT: "PostgreSQL ended the statement at the time-out. This is the plan without a run.",
    Outcome.NOT_RUN: "The statement did not run: rows are the planner's estimates.",
}


def as_text(explained: Explanation) -> Iterator[str]:
    """Lines for people."""
    if not explained.asked:
        yield "The relay answers without the database: no stored event that this audience may read can match."
        return
    cost = query_cost(explained.asked)
    kind = "certain" if cost.is_certain else "uncertain: it depends on what is stored"
    yield f"Estimated cost: {cost.ms:.1f} ms, {kind}. Lane: {'quick' if cost.is_quick else 'expensive'}."
    yield "A REQ that the memory of a worker or the shared cache can answer does not send these statements."
    for number, attempt in enumerate(explained.attempts, 1):
        yield ""
        yield from _attempt(number, attempt, explained.index_comments)
    yield ""
    yield "What to do"
    yield from (f"  {line}" for line in advice(explained))


def _attempt(number: int, attempt: Attempt, comments: dict[str, str]) -> Iterator[str]:
    yield f"Statement {number}"
    yield f"  {attempt.statement.text}"
    for place, value in enumerate(attempt.statement.parameters, 1):
        yield f"  ${place} = {_cut(value)}"
    yield "Plan"
    yield from (f"  {line}" for line in tree(attempt.explained["Plan"]))
    yield "Read"
    figures = attempt.figures
    for access in figures.accesses:
        yield f"  {_access(access, attempt.outcome)}"
        if comments.get(access.index):
            yield f"    {access.index}: {comments[access.index]}"
    yield "Result"
    yield f"  {OUTCOMES[attempt.outcome]}"
    if attempt.outcome not in (Outcome.NOT_RUN, Outcome.TIMED_OUT):
        yield f"  {_totals(attempt, figures)}"


def _access(access: Access, outcome: Outcome) -> str:
    places = "from end to end" if access.is_scan else "at places that an index gave"
    way = f"{access.table} along the index {access.index}" if access.index else f"{access.table} {places}"
    if outcome in (Outcome.NOT_RUN, Outcome.TIMED_OUT):
        return way
    dropped = f", {access.dropped:,} of them did not match" if access.dropped else ""
    visited = f", {access.visited:,} rows visited that a vacuum would have spared" if access.visited else ""
    return f"{way}: {access.read:,} entries in {access.times:,} walk{'s'[: access.times != 1]}{dropped}{visited}"


def _totals(attempt: Attempt, figures: PlanFigures) -> str:
    spilled = f", {_size(figures.spilled_bytes)} of temporary files" if figures.spilled_bytes else ""
    return (
        f"{attempt.events:,} events ({_size(attempt.text_bytes)}) from {figures.read:,} entries in "
        f"{figures.run_ms:.1f} ms; {_size(figures.memory_bytes)} from PostgreSQL's memory, "
        f"{_size(figures.disk_bytes)} from disk or the system's cache{spilled}"
    )


def advice(explained: Explanation) -> list[str]:
    """What an operator can do, at least one sentence."""
    return list(_advice(explained, explained.attempts[-1])) or ["Nothing: it reads about what it returns."]


def _advice(explained: Explanation, last: Attempt) -> Iterator[str]:
    figures = last.figures
    if figures.scans:
        yield (
            f"{' and '.join(figures.scans)} is read from end to end. Are all indexes there and valid "
            "(`manage.py indexes`)? If so, report it with this output."
        )
    if last.outcome is Outcome.TIMED_OUT:
        yield (
            "It takes longer than the time-out. Run it again: pages that came from disk are then in memory. Look at "
            "`manage.py indexes` for missing vacuums, and at the load of PostgreSQL."
        )
    if explained.is_refused:
        yield (
            "Clients are answered `CLOSED error: ... narrow it`: too few of the events on either index match. A kind, "
            "an author, a rarer tag or a range of time makes it narrower."
        )
    elif _wastes(last, figures):
        yield (
            f"It reads {figures.read:,} entries for {last.events:,} events: no index has all of its conditions. "
            "The bounds of the walks limit that. Many such queries: see Slow queries in the admin, and lower "
            "RELAY_RATE_QUESTIONS."
        )
    if figures.disk_bytes > MUCH_FROM_DISK:
        yield (
            f"{_size(figures.disk_bytes)} were not in PostgreSQL's memory. Once is normal after a start; if it is so "
            "again and again, raise shared_buffers or the memory of the machine."
        )
    if (visited := sum(access.visited for access in figures.accesses)) > MANY_VISITED:
        yield f"{visited:,} rows were visited for visibility alone: VACUUM {', '.join(_unvacuumed(figures))}."


def _wastes(attempt: Attempt, figures: PlanFigures) -> bool:
    return attempt.outcome is Outcome.SENT and figures.read > FEW_ENTRIES and figures.read > WASTE * attempt.events


def _unvacuumed(figures: PlanFigures) -> list[str]:
    return sorted({access.table for access in figures.accesses if access.visited and access.table in LARGE_TABLES})


def _cut(value: Any) -> str:
    text = f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)
    rest = len(text) - LONGEST_VALUE
    return f"{text[:LONGEST_VALUE]}... ({rest:,} more characters)" if rest > 0 else text


def _size(number: int) -> str:
    size = float(number)
    for unit in ("B", "KiB", "MiB"):
        if size < 1_024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_024
    return f"{size:.1f} GiB"


def as_json(explained: Explanation) -> dict[str, Any]:
    """The same for programs. `attempts`: SQL, parameters (bytes as hex), outcome, figures and PostgreSQL's plan."""
    return {
        "needs_database": bool(explained.asked),
        "refused": explained.is_refused,
        "attempts": [_attempt_json(attempt) for attempt in explained.attempts],
        "advice": advice(explained) if explained.attempts else [],
    }


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    figures = attempt.figures
    return {
        "sql": attempt.statement.text,
        "parameters": [each.hex() if isinstance(each, bytes) else each for each in attempt.statement.parameters],
        "outcome": str(attempt.outcome),
        "events": attempt.events,
        "text_bytes": attempt.text_bytes,
        "entries": figures.read,
        "run_ms": figures.run_ms,
        "plan_ms": figures.plan_ms,
        "memory_bytes": figures.memory_bytes,
        "disk_bytes": figures.disk_bytes,
        "accesses": figures.accesses,
        "plan": attempt.explained,
    }
