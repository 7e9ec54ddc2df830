"""What a run makes of a peer's answers, right, broken and hostile ones; the peer is a function here."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from relay.protocol.negentropy.encoding import INFINITY, varint
from relay.protocol.negentropy.items import Items
from relay.protocol.negentropy.reconciliation import respond
from replication.reconcile.asking import Peer, PeerFault
from replication.reconcile.messages import (
    FRAME_BYTES,
    MOST_ITEMS,
    Compare,
    CompareAnswer,
    FetchAnswer,
    HelloAnswer,
    Part,
    PlanAnswer,
    Stage,
    Window,
    decode_request,
    encode,
    window_of,
)
from replication.reconcile.scope import Floor, Scope
from replication.wire import FETCH_PATH, RECONCILE_PATH

WHOLE = Part(Stage.EVENTS, Scope(), window_of(None, None))


def items(*numbers: int) -> Items:
    return Items.of([(number, bytes([number % 251]) * 32) for number in numbers])


def peer_of(answer: Any) -> Peer:
    """A peer that gives one answer to everything."""
    return Peer(lambda path, content: answer if isinstance(answer, bytes) else encode(answer))


def comparing(respond_to: Callable[[bytes], bytes]) -> Peer:
    def ask(path: str, content: bytes) -> bytes:
        assert path == RECONCILE_PATH
        request = decode_request(content)
        assert isinstance(request, Compare)
        return encode(CompareAnswer(respond_to(request.message)))

    return Peer(ask)


def test_the_difference_of_two_sides() -> None:
    theirs = items(*range(3, 240))

    found = comparing(lambda message: respond(theirs, message)).difference(WHOLE, items(*range(237)))

    assert found is not None
    assert sorted(found.have) == [bytes([number]) * 32 for number in (0, 1, 2)]
    assert sorted(found.need) == [bytes([number]) * 32 for number in (237, 238, 239)]
    assert found.compared == 240


def test_a_peer_with_too_many_items_is_asked_for_smaller_parts() -> None:
    assert peer_of(CompareAnswer(None)).difference(WHOLE, items(1)) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b'{"message": 7}',
        b'{"message": "!"}',
        CompareAnswer(b""),
        CompareAnswer(b"\x62"),
        CompareAnswer(b"\x61\x00\x00\x09"),
        CompareAnswer(b"\x61\x00\x00\x02" + varint(2**60)),
        CompareAnswer(b"\x61" + bytes(FRAME_BYTES)),
    ],
    ids=repr,
)
def test_an_answer_that_is_no_message_ends_the_run(answer: Any) -> None:
    with pytest.raises(PeerFault):
        peer_of(answer).difference(WHOLE, items(1, 2))


def test_a_peer_that_never_ends_is_left() -> None:
    mine = items(*range(200))
    wrong = CompareAnswer(b"\x61\x00\x00\x01" + bytes(16))

    with pytest.raises(PeerFault, match="no end"):
        peer_of(wrong).difference(WHOLE, mine)


def test_a_peer_that_names_ids_without_end_is_left_before_they_fill_the_memory() -> None:
    count = 0

    def more(_message: bytes) -> bytes:
        nonlocal count
        listed = b"".join((count * 30_000 + number).to_bytes(32, "big") for number in range(30_000))
        count += 1
        return b"\x61\x01\x00\x02" + varint(30_000) + listed + b"\x00\x00\x01" + bytes(16)

    tracemalloc.start()
    with pytest.raises(PeerFault, match="more events"):
        comparing(more).difference(WHOLE, items(*range(100)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 1 + MOST_ITEMS // 30_000
    assert peak < 40_000_000


LOW, MIDDLE, HIGH = (number.to_bytes(8, "big") for number in (1, 2, 3))
INNER = Part(Stage.EVENTS, Scope(), Window(LOW, HIGH))


@pytest.mark.parametrize(
    "answer",
    [
        PlanAnswer([MIDDLE, MIDDLE], more=False),
        PlanAnswer([LOW], more=False),
        PlanAnswer([HIGH], more=False),
        PlanAnswer([INFINITY], more=False),
        PlanAnswer([b"\x00"], more=False),
        PlanAnswer([MIDDLE + bytes(33)], more=False),
        PlanAnswer([], more=True),
        PlanAnswer([MIDDLE + number.to_bytes(2, "big") for number in range(1_000)], more=False),
    ],
    ids=str,
)
def test_bounds_that_do_not_divide_the_window_are_refused(answer: PlanAnswer) -> None:
    with pytest.raises(PeerFault):
        peer_of(answer).bounds(INNER)


def test_bounds_that_divide_the_window_are_taken() -> None:
    assert peer_of(PlanAnswer([MIDDLE], more=True)).bounds(INNER).bounds == [MIDDLE]


@pytest.mark.parametrize(
    "answer",
    [
        FetchAnswer([], asked=0),
        FetchAnswer([], asked=3),
        FetchAnswer([], asked=-1),
        FetchAnswer([msgspec.Raw(b"{}"), msgspec.Raw(b"{}")], asked=1),
        b'{"events": [',
        b'{"events": [], "asked": 1e999}',
    ],
    ids=str,
)
def test_an_answer_to_other_ids_is_refused(answer: Any) -> None:
    with pytest.raises(PeerFault):
        peer_of(answer).fetch(WHOLE, [bytes(32), bytes(32)])


def test_fetching_names_ids_and_window() -> None:
    asked: list[str] = []

    def ask(path: str, content: bytes) -> bytes:
        asked.append(path)
        return encode(FetchAnswer([msgspec.Raw(b'{"id":"x"}')], asked=2))

    answer = Peer(ask).fetch(WHOLE, [bytes(32), bytes(32)])

    assert [bytes(text) for text in answer.events] == [b'{"id":"x"}']
    assert asked == [FETCH_PATH]


@pytest.mark.parametrize(
    "scope",
    [
        Scope(kinds=(-1,)),
        Scope(floors=(Floor(((3, 1),), 0),)),
        Scope(floors=(Floor(((0, 2**40),), 0),)),
        Scope(floors=(Floor((), 2**63),)),
        Scope(authors=("zz" * 32,)),
        Scope(authors=("ab",)),
    ],
    ids=str,
)
def test_a_scope_that_is_none_is_refused(scope: Scope) -> None:
    with pytest.raises(PeerFault):
        peer_of(HelloAnswer(scope)).scope()
