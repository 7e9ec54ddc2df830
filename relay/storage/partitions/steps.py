"""Carries out a plan on the store, on Django's connection.

What needs a lock that stops readers and writers waits for it LOCK_MILLISECONDS at most and is tried again; it holds it
for some milliseconds. What takes long (reading all events, building an index) stops neither. Each step may be killed.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db import OperationalError, connection, transaction
from psycopg import errors

from relay.storage.partitions.plan import Partition, State, Step

TABLES = ("relay_event", "relay_tag")
LOCK_MILLISECONDS = 80
RETRY_SECONDS = 0.25
MOST_TRIES = 400

IN_USE = "the tables are in use all the time: end what reads them for long, and try again"

MOST_MOVED = 1_000
"""Events that a job moves into a new partition while the tables are locked: by estimate 0.1 s."""

T = TypeVar("T")

_INDEX = "relay_event_id_time"


class Busy(RuntimeError):
    """A lock was not to be had in all tries, since some transaction has been reading or writing all the time; or what a
    step builds on is gone.
    """


def read_state() -> State:
    """What the store has now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relay_is_partitioned()")
        if cursor.fetchone()[0]:
            return State(partitions=partitions())
        cursor.execute("SELECT e.created_at FROM relay_event AS e ORDER BY e.created_at DESC, e.id LIMIT 1")
        newest = cursor.fetchone()
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [_INDEX])
        index = cursor.fetchone()
    limits = _limits()
    ends = {until for _, until, _ in limits}
    is_whole = len(limits) == len(TABLES) and len(ends) == 1
    return State(
        newest=None if newest is None else newest[0],
        until=min(ends) if is_whole else None,
        validated=is_whole and all(validated for _, _, validated in limits),
        indexed=index is not None and bool(index[0]),
        closes=min(ends, default=None),
    )


def _limits() -> list[tuple[str, int, bool]]:
    """The constraints of a division that is under way: table, the end of `past`, and whether it is validated."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text, substring(conname FROM '_before_([0-9]+)$')::bigint, convalidated "
            "FROM pg_constraint WHERE conrelid = ANY (%s::regclass[]) AND conname ~ '_before_[0-9]+$'",
            [list(TABLES)],
        )
        return list(cursor.fetchall())


def partitions(table: str = "relay_event") -> list[Partition]:
    """Those of a table, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM relay_partition_list(%s::regclass)", [table])
        return [Partition(*row) for row in cursor.fetchall()]


def carry_out(step: Step) -> None:
    """Do one step of a plan. Raises Busy; it may be tried again later."""
    _STEPS[step.name](step)


def is_quick(step: Step) -> bool:
    """False if so many events of a new period lie in `later` that moving them would hold the lock for long."""
    if step.name != "add":
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM relay_event_later AS e WHERE e.created_at < %s LIMIT %s) AS moved",
            [step.period.ends, MOST_MOVED + 1],
        )
        return int(cursor.fetchone()[0]) <= MOST_MOVED


def in_a_short_lock(
    statement: str, parameters: list[Any] | None = None, tries: int = MOST_TRIES, longest_pause: float = RETRY_SECONDS
) -> Any:
    """Run a statement in a transaction that waits for no lock longer than LOCK_MILLISECONDS, until it has run; the one
    value that it returns, None without one. Each pause is twice the one before, up to `longest_pause` seconds.

    Raises Busy, and at once what no wait mends: a full disk, a lost connection.
    """

    def run(cursor: Any) -> Sequence[Any]:
        cursor.execute(statement, parameters)
        return cursor.fetchone() if cursor.description else (None,)

    pause = RETRY_SECONDS
    for _ in range(tries):
        if (row := once_in_a_short_lock(run)) is not None:
            return row[0]
        time.sleep(pause)
        pause = min(2 * pause, longest_pause)
    raise Busy(IN_USE)


def once_in_a_short_lock(run: Callable[[Any], T]) -> T | None:
    """What `run` returns, which gets a cursor in a transaction that waits for no lock longer than LOCK_MILLISECONDS;
    None if it would have had to: nothing is done then.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_MILLISECONDS}ms'")
            return run(cursor)
    except OperationalError as error:
        if not isinstance(error.__cause__, errors.LockNotAvailable | errors.DeadlockDetected):
            raise
    return None


def _constrain(step: Step) -> None:
    """A constraint that is left of a run that was killed in between is made anew, also one of an earlier end: it would
    stay on `past`, and refuse the events of that time.
    """
    for table in TABLES:
        name = f"{table}_before_{step.period.ends}"
        changes = [*_without_limits(table), f"ADD CONSTRAINT {name} CHECK (created_at < {step.period.ends}) NOT VALID"]
        in_a_short_lock(f"ALTER TABLE {table} {', '.join(changes)}")


def _release(_step: Step) -> None:
    """The index stays for the next division."""
    for table in TABLES:
        if changes := _without_limits(table):
            in_a_short_lock(f"ALTER TABLE {table} {', '.join(changes)}")


def _without_limits(table: str) -> list[str]:
    return [f"DROP CONSTRAINT IF EXISTS {table}_before_{until}" for named, until, _ in _limits() if named == table]


def _validate(step: Step) -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {table}_before_{step.period.ends}")


def _index(_step: Step) -> None:
    """An index that is not whole is left of a run that was killed."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_INDEX}")
        cursor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {_INDEX} ON relay_event (id, created_at)")


def _switch(step: Step) -> None:
    """Without its constraint PostgreSQL would read each table whole, with the lock held."""
    validated = {table for table, until, is_validated in _limits() if is_validated and until == step.period.ends}
    if validated != set(TABLES):
        raise Busy("the division was given up meanwhile, because it had not ended in time: begin it again")
    in_a_short_lock("SELECT relay_partition_switch(%s)", [step.period.ends])


def _add(step: Step) -> None:
    period = step.period
    in_a_short_lock("SELECT relay_partition_add(%s, %s, %s)", [period.suffix, period.begins, period.ends])


_STEPS: dict[str, Callable[[Step], None]] = {
    "release": _release,
    "constrain": _constrain,
    "validate": _validate,
    "index": _index,
    "switch": _switch,
    "add": _add,
}
