"""The questions of a run to its peer, and what a peer may answer at most: it may be broken or hostile."""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import msgspec

from relay.protocol.errors import Invalid
from relay.protocol.negentropy.items import Items
from relay.protocol.negentropy.reconciliation import Initiator
from replication.answers import Unreadable
from replication.reconcile.messages import (
    FRAME_BYTES,
    MOST_ITEMS,
    PLAN_WINDOWS,
    Compare,
    Fetch,
    FetchAnswer,
    Hello,
    Part,
    Plan,
    PlanAnswer,
    Window,
    decode_compare_answer,
    decode_fetch_answer,
    decode_hello_answer,
    decode_plan_answer,
    encode,
)
from replication.reconcile.scope import Scope
from replication.wire import FETCH_PATH, RECONCILE_PATH

MOST_ROUNDS = 30
"""Of one window: two compare MOST_ITEMS on each side, one more for every message that was full."""

Ask = Callable[[str, bytes], bytes]
"""Sends a request to a path of the peer and returns its answer. Raises PeerError."""

T = TypeVar("T")


class PeerFault(Exception):
    """the peer answers what no working region answers"""


class Difference(msgspec.Struct, frozen=True):
    """Ids that the peer lacks, and ids that only it has; how many items were compared, in how many rounds."""

    have: list[bytes]
    need: list[bytes]
    compared: int
    rounds: int


class Peer:
    """The peer, as one thread of a run asks it. Every method raises PeerFault, and what `ask` raises."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def scope(self) -> Scope:
        """What the peer sends to this region."""
        scope = self._asked(RECONCILE_PATH, Hello(), decode_hello_answer).scope
        if not scope.is_valid:
            raise PeerFault("the peer tells a scope that is none")
        return scope

    def bounds(self, part: Part) -> PlanAnswer:
        """Where the peer divides a part."""
        answer = self._asked(RECONCILE_PATH, Plan(part), decode_plan_answer)
        places = [part.window.lower, *answer.bounds, part.window.upper]
        rise = all(before < after for before, after in pairwise(places))
        are_bounds = all(Window(bound, bound).is_valid for bound in answer.bounds)
        if not (rise and are_bounds and answer.more <= len(answer.bounds) <= PLAN_WINDOWS):
            raise PeerFault("the peer divides a window at bounds that are none")
        return answer

    def difference(self, part: Part, items: Items) -> Difference | None:
        """How the peer's items of a part differ from `items`; None if it has too many."""
        initiator = Initiator(items)
        have: dict[bytes, None] = {}
        need: dict[bytes, None] = {}
        message: bytes | None = initiator.open()
        for rounds in range(MOST_ROUNDS):
            if message is None:
                return Difference([*have], [*need], len(items) + len(need), rounds)
            asked = Compare(part, message)
            answer = self._asked(RECONCILE_PATH, asked, decode_compare_answer).message
            if answer is None:
                return None
            if len(answer) > FRAME_BYTES:
                raise PeerFault("the peer sends a message of negentropy that is too long")
            try:
                step = initiator.step(answer)
            except Invalid as error:
                raise PeerFault(error.message) from None
            have |= dict.fromkeys(step.have)
            need |= dict.fromkeys(step.need)
            if len(need) > MOST_ITEMS:
                raise PeerFault("the peer names more events than a window may hold")
            message = step.message
        raise PeerFault(f"the peer finds no end in {MOST_ROUNDS} rounds")

    def fetch(self, part: Part, ids: list[bytes]) -> FetchAnswer:
        """The events of at most FETCH_EVENTS ids, or of the first `asked` of them."""
        answer = self._asked(FETCH_PATH, Fetch(part.stage, part.window, ids), decode_fetch_answer)
        if not 0 < answer.asked <= len(ids) or len(answer.events) > answer.asked:
            raise PeerFault("the peer answers to other ids than those that were asked for")
        return answer

    def _asked(self, path: str, request: object, decode: Callable[[bytes], T]) -> T:
        try:
            return decode(self._ask(path, encode(request)))
        except (msgspec.MsgspecError, Unreadable, UnicodeDecodeError, RecursionError) as error:
            raise PeerFault(f"the peer's answer cannot be read: {error}") from None
