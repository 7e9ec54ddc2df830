"""What an attack costs the relay's processes: the peak of their memory and the longest step of an event loop.

Memory is what no file and no shared memory backs (RssAnon), read ten times a second.
"""

import contextlib
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from relayproject.runtime.processes import living_in
from tests.acceptance.relay_process import RelayProcess

EVERY_SECONDS = 0.1
BUCKET = re.compile(r'^nostr_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


@dataclass(slots=True)
class Peaks:
    """Megabytes: `worker` of the largest worker, `backends` of all of PostgreSQL's processes together."""

    worker: float = 0.0
    backends: float = 0.0


def anonymous_mb(pid: int) -> float:
    """The memory of a process; 0 when it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
    return 0.0


def now(relay: RelayProcess) -> Peaks:
    """The memory of this moment."""
    worker = max(map(anonymous_mb, relay.workers()), default=0.0)
    return Peaks(worker, sum(map(anonymous_mb, living_in(relay.data_dir / "postgres", "postgres"))))


class Watch:
    """Reads the memory in a thread while its block runs; `peaks` are the largest values."""

    def __init__(self, relay: RelayProcess) -> None:
        self.peaks = Peaks()
        self._relay = relay
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            seen = now(self._relay)
            self.peaks = Peaks(max(self.peaks.worker, seen.worker), max(self.peaks.backends, seen.backends))


def steps(relay: RelayProcess) -> dict[str, float]:
    """How many timers were later than each bound of the histogram of all workers, in seconds."""
    counts = dict(BUCKET.findall(relay.get("/metrics", seconds=20.0)[1]))
    total = float(counts.get("+Inf", 0))
    return {bound: total - float(count) for bound, count in counts.items() if bound != "+Inf"}


def longest(before: dict[str, float], after: dict[str, float]) -> str:
    """The longest step between two readings, as the bucket that it fell in: `<= 0.02 s`."""
    bounds = sorted(after, key=float)
    above = [bound for bound in bounds if after[bound] > before.get(bound, 0)]
    if not above:
        return f"<= {bounds[0]} s" if bounds else "?"
    further = bounds[bounds.index(above[-1]) + 1 :]
    return f"<= {further[0]} s" if further else f"> {above[-1]} s"
