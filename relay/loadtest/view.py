"""The log of a run as a table: what there is, and then what comes, until the run ends.

Rule: the view has no part in the run: it may be ended and begun again at any time, on any machine that sees the file.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import localtime, sleep, strftime

from relay.loadtest.journal import End, Entry, Head, Line, read
from relay.loadtest.wording import number, printable

FOLLOW_SECONDS = 0.5
COLUMNS = ("time", "second", "events/s", "queries/s", "deliveries/s", "OK p95", "EOSE p95", "delivery p95")
MORE_COLUMNS = ("lost", "closed", "open")


def follow(path: Path, wait: Callable[[float], None] = sleep) -> Iterator[Entry]:
    """The entries of the newest run in the file: those that stand there, and then those that are added, to its end."""
    with path.open("rb") as file:
        entries = list(read(iter(file)))
        starts = [at for at, entry in enumerate(entries) if isinstance(entry, Head)]
        entries = entries[starts[-1] :] if starts else entries
        yield from entries
        rest = b""
        while not (entries and isinstance(entries[-1], End)):
            rest += file.read()
            whole, _, rest = rest.rpartition(b"\n")
            entries = list(read(iter(whole.splitlines())))
            yield from entries
            if not entries:
                wait(FOLLOW_SECONDS)


def as_line(entry: Entry) -> str:
    """One line of the table, with its heading for the first one."""
    match entry:
        case Head():
            addresses = printable(", ".join(entry.urls))
            what = (
                f"{entry.scenario} on {addresses}: {entry.connections:,} connections, {entry.subscribers:,} following"
            )
            return f"{what}, {entry.duration:,g} s\n{_row(*COLUMNS, *MORE_COLUMNS)}"
        case Line():
            times = (entry.ok_p95_ms, entry.eose_p95_ms, entry.delivery_p95_ms)
            rates = (entry.events_per_second, entry.queries_per_second, entry.deliveries_per_second)
            counts = (entry.lost, entry.closed, entry.open)
            return _row(
                *(_clock(entry.at), f"{entry.second:,g}", *map(number, rates)),
                *(number(each, "ms") for each in times),
                *(f"{count:,}" for count in counts),
            )
        case End():
            how = "stopped early" if entry.interrupted else "ended"
            verdict = "all thresholds met" if entry.passed else "a threshold was missed"
            return f"{_clock(entry.at)}  {how} after {number(entry.seconds)} s: {verdict}"


def _clock(at: int) -> str:
    return strftime("%H:%M:%S", localtime(at))


def _row(*cells: str) -> str:
    return f"{cells[0]:<8}" + "".join(f"  {cell:>{max(9, len(name))}}" for cell, name in _named(cells[1:]))


def _named(cells: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    return zip(cells, (*COLUMNS[1:], *MORE_COLUMNS), strict=True)
