"""How a run divides two sets into windows, and compares each once; both regions are in memory here."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.protocol.negentropy.items import Items
from relay.protocol.negentropy.reconciliation import respond
from replication.reconcile.asking import Peer, PeerFault
from replication.reconcile.desk import Desk
from replication.reconcile.local_set import LocalSet
from replication.reconcile.messages import (
    CompareAnswer,
    Hello,
    HelloAnswer,
    Part,
    Plan,
    PlanAnswer,
    Stage,
    decode_request,
    encode,
    window_of,
)
from replication.reconcile.report import Report
from replication.reconcile.run import Run
from replication.reconcile.scope import Scope

STEP, MOST, PLANNED = 5, 12, 3
EVERYTHING = window_of(None, None)


class Side:
    """A region of items; the statements of LocalSet in Python, with small windows. All are of one stage."""

    def __init__(self, items: set[bytes], stage: Stage = Stage.EVENTS) -> None:
        self._items = sorted(items)
        self._stage = stage
        self.read: list[Part] = []

    def _of(self, part: Part) -> list[bytes]:
        if part.stage is not self._stage:
            return []
        return [item for item in self._items if part.window.lower <= item < part.window.upper]

    def items(self, part: Part) -> Items | None:
        found = self._of(part)
        self.read.append(part)
        return Items(b"".join(found)) if len(found) <= MOST else None

    def bounds(self, part: Part) -> tuple[list[bytes], bool]:
        found = self._of(part)[STEP - 1 :: STEP][:PLANNED]
        return found, len(found) == PLANNED

    def ask(self, _path: str, content: bytes) -> bytes:
        request = decode_request(content)
        if isinstance(request, Hello):
            return encode(HelloAnswer(Scope()))
        if isinstance(request, Plan):
            return encode(PlanAnswer(*self.bounds(request.part)))
        items = self.items(request.part)
        return encode(CompareAnswer(None if items is None else respond(items, request.message)))


def desk(here: Side, ask: Callable[[str, bytes], bytes]) -> Desk:
    return Desk(cast(LocalSet, here), Peer(ask), lambda texts: [])


def counted(here: Side, ask: Callable[[str, bytes], bytes], parallel: int = 2) -> Report:
    report = Report()
    desks = [desk(here, ask) for _ in range(parallel + 1)]
    asyncio.run(Run(desks, EVERYTHING, Scope(), report, taking=None).run())
    return report


def items() -> st.SearchStrategy[set[bytes]]:
    """Few seconds, so that windows begin and end within one."""
    item = st.builds(
        lambda at, name: at.to_bytes(8, "big") + bytes([name, at]) * 16, st.integers(0, 3), st.integers(0, 40)
    )
    return st.sets(item, max_size=90)


@settings(max_examples=25)
@given(items(), items(), items())
def test_each_difference_is_counted_once_however_the_sets_are_divided(
    shared: set[bytes], here: set[bytes], there: set[bytes]
) -> None:
    ours, theirs = Side(shared | here), Side(shared | there)

    report = counted(ours, theirs.ask)

    assert report.taken["lacking"] == len((shared | there) - (shared | here))
    assert report.given["lacking"] == len((shared | here) - (shared | there))
    assert report.is_whole
    assert all(len(ours._of(part)) <= STEP + 1 and len(theirs._of(part)) <= STEP + 1 for part in ours.read)


def numbered(count: int) -> set[bytes]:
    return {number.to_bytes(8, "big") + bytes([number]) * 32 for number in range(count)}


def test_what_takes_away_is_compared_before_all_else() -> None:
    here = Side(numbered(3), Stage.REMOVALS)

    counted(here, Side(set()).ask)

    assert [part.stage for part in here.read] == [Stage.REMOVALS, Stage.EVENTS]


def test_a_window_that_grows_while_it_is_compared_is_divided_again() -> None:
    here, there = Side(set()), Side(numbered(40))
    small = Side(numbered(2))
    planned = False

    def ask(path: str, content: bytes) -> bytes:
        nonlocal planned
        if not planned and isinstance(request := decode_request(content), Plan) and request.part.stage is Stage.EVENTS:
            planned = True
            return small.ask(path, content)
        return there.ask(path, content)

    assert counted(here, ask).taken["lacking"] == 40


@pytest.mark.parametrize("answer", [PlanAnswer([], more=False)])
def test_a_peer_that_holds_too_much_and_does_not_divide_it_is_left(answer: PlanAnswer) -> None:
    there = Side(numbered(40))

    def ask(path: str, content: bytes) -> bytes:
        return encode(answer) if isinstance(decode_request(content), Plan) else there.ask(path, content)

    with pytest.raises(PeerFault, match="does not divide"):
        counted(Side(set()), ask)


def test_a_run_that_is_stopped_is_not_whole() -> None:
    here, there = Side(numbered(200)), Side(numbered(190))
    report = Report()
    runs: list[Run] = []

    def ask(path: str, content: bytes) -> bytes:
        if report.windows == 3:
            runs[0].stop()
        return there.ask(path, content)

    runs.append(Run([desk(here, ask) for _ in range(2)], EVERYTHING, Scope(), report, taking=None))
    asyncio.run(runs[0].run())

    assert not report.is_whole
    assert 3 <= report.windows < 20


def test_the_first_failure_ends_the_run() -> None:
    def ask(path: str, content: bytes) -> bytes:
        request: Any = decode_request(content)
        if isinstance(request, Hello | Plan):
            return Side(numbered(200)).ask(path, content)
        raise PeerFault("broken")

    with pytest.raises(PeerFault, match="broken"):
        counted(Side(numbered(5)), ask, parallel=4)


def test_a_peer_that_never_has_room_for_a_window_ends_the_run() -> None:
    """It divides each window once more, at a bound just above its beginning, and says that both parts are too large."""

    def ask(_path: str, content: bytes) -> bytes:
        request = decode_request(content)
        if isinstance(request, Hello):
            return encode(HelloAnswer(Scope()))
        if isinstance(request, Plan):
            window = request.part.window
            between = (
                int.from_bytes(window.lower.ljust(40, b"\0")) + int.from_bytes(window.upper.ljust(40, b"\0"))
            ) // 2
            return encode(PlanAnswer([between.to_bytes(40)], more=False))
        return encode(CompareAnswer(None))

    with pytest.raises(PeerFault, match="too many"):
        counted(Side(set()), ask)


def test_a_peer_with_a_reason_of_its_own_for_each_event_fills_no_memory() -> None:
    report = Report()
    for number in range(10_000):
        report.refused(f"{number} " + "x" * 1_000)
    assert len(report.refusals) <= 101
    assert report.refusals.total() == 10_000
    assert max(map(len, report.refusals)) <= 300
