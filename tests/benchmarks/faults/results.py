"""What came of each trial, and the file that keeps it: one line of JSON for each, appended when the trial ends."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from relayproject.runtime.cluster.options import Failover, Options, Valkey

FAILOVERS = {Failover.PATRONI: "Patroni", Failover.PLAIN: "PostgreSQL without Patroni"}
VALKEYS = {Valkey.ONE: "one Valkey", Valkey.SENTINEL: "Valkey with Sentinels", Valkey.CLUSTER: "a Valkey Cluster"}


def kind_of(options: Options) -> str:
    """The kind of cluster that a trial was made on, as the tables are called."""
    return f"{FAILOVERS[options.failover]}, {VALKEYS[options.valkey]}"


@dataclass(frozen=True, slots=True)
class Result:
    """kind: of the cluster. lost: acknowledged events that no query finds afterwards. wrong: answers. dead:
    subscriptions that are open and get nothing. undelivered: acknowledged events that a subscriber never got, summed.
    twice: deliveries. publishing_gap_seconds, asking_gap_seconds: the longest that a client was without an OK, an
    answer. well_seconds: from the fault to the end of the last gap. repaired: it was not well without a repair. failed:
    why the trial came to no result; the figures say nothing then.
    """

    kind: str
    part: str
    way: str
    acknowledged: int = 0
    lost: int = 0
    wrong: int = 0
    dead: int = 0
    undelivered: int = 0
    twice: int = 0
    publishing_gap_seconds: float = 0.0
    asking_gap_seconds: float = 0.0
    well_seconds: float = 0.0
    repaired: bool = False
    note: str = ""
    failed: str = ""

    @property
    def is_bad(self) -> bool:
        """Something was lost, wrong or silent."""
        return bool(self.lost or self.wrong or self.dead)


def append(file: Path, result: Result) -> None:
    """Add one trial."""
    with file.open("ab") as end:
        end.write(msgspec.json.encode(result) + b"\n")


def read(files: Iterable[Path]) -> list[Result]:
    """The trials of several files; raises OSError, msgspec.MsgspecError."""
    lines = [line for file in files for line in file.read_bytes().splitlines() if line]
    return [msgspec.json.decode(line, type=Result) for line in lines]
