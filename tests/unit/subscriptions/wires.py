"""A wire that records what it is asked to do, and a flusher whose turns the test decides."""

from collections.abc import Callable, Sequence

from relay.subscriptions.outbox import Flusher, Outbox


class RecordingWire:
    """Implements `outbox.Wire`. With `reads` false, the client reads nothing: what is sent stays buffered."""

    def __init__(self, *, reads: bool = True) -> None:
        self.reads = reads
        self.writes: list[list[bytes]] = []
        self.ends: list[str] = []
        self.buffered = 0

    @property
    def frames(self) -> list[bytes]:
        return [frame for write in self.writes for frame in write]

    def send_frames(self, frames: Sequence[bytes]) -> None:
        assert not self.ends, "sent after the end"
        self.writes.append(list(frames))
        if not self.reads:
            self.buffered += sum(map(len, frames))

    def buffered_bytes(self) -> int:
        return self.buffered

    def pause_reading(self) -> None:
        raise AssertionError("an outbox does not pause the reading")

    def resume_reading(self) -> None:
        raise AssertionError("an outbox does not resume the reading")

    def close(self, code: int, reason: str) -> None:
        self.ends.append(f"close {code}")

    def cut(self) -> None:
        self.ends.append("cut")


class Turns(Flusher):
    """Flushes, and calls what was left for later, when the test ends the turn of the loop."""

    def __init__(self) -> None:
        self.waiting: list[Outbox] = []
        self.calls: list[Callable[[], None]] = []

    def later(self, then: Callable[[], None]) -> None:
        self.calls.append(then)

    def run(self) -> bool:
        """One turn of what was left for later; False if there was nothing."""
        calls, self.calls = self.calls, []
        for then in calls:
            then()
        return bool(calls)

    def add(self, outbox: Outbox) -> None:
        self.waiting.append(outbox)

    def end(self) -> None:
        waiting, self.waiting = self.waiting, []
        for outbox in waiting:
            outbox.flush()
