"""The side that is asked. It keeps nothing between requests and reads its items anew for each.

This converges: a range is compared as of the message that names it, and the ranges of a message are parts of the
earlier ones. An event that is stored or removed between two messages is compared as of the second, or is sent to a side
that has it already, which changes nothing.
"""

import time
from collections.abc import Callable

import msgspec

from relay.protocol.errors import Invalid
from relay.protocol.negentropy.encoding import ID_BYTES
from relay.protocol.negentropy.reconciliation import respond
from replication.answers import Unreadable
from replication.reconcile.local_set import LocalSet, Query
from replication.reconcile.messages import (
    FETCH_EVENTS,
    FRAME_BYTES,
    MOST_MESSAGE_BYTES,
    Compare,
    CompareAnswer,
    FetchAnswer,
    Hello,
    HelloAnswer,
    Part,
    Plan,
    PlanAnswer,
    decode_fetch,
    decode_request,
    encode,
)


class Responder:
    """Answers the requests of one peer, in a thread."""

    def __init__(self, query: Query, peer: int, clock: Callable[[], float] = time.time) -> None:
        """`peer`: the region's number."""
        self._set = LocalSet(query, peer, int(clock()))

    def reconcile(self, content: bytes) -> bytes:
        """The answer to a request to RECONCILE_PATH. Raises Unreadable."""
        try:
            request = decode_request(content)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Unreadable(str(error)) from None
        match request:
            case Hello():
                return encode(HelloAnswer(self._set.scope()))
            case Plan():
                self._check(request)
                return encode(PlanAnswer(*self._set.bounds(request.part)))
            case _:
                self._check(request)
                return encode(CompareAnswer(self._compared(request)))

    def fetch(self, content: bytes) -> bytes:
        """The answer to a request to FETCH_PATH: nothing that is not sent to this peer. Raises Unreadable."""
        try:
            request = decode_fetch(content)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Unreadable(str(error)) from None
        ids = request.ids
        if len(ids) > FETCH_EVENTS or any(len(event_id) != ID_BYTES for event_id in ids) or not request.window.is_valid:
            raise Unreadable("too many ids, or no ids, or no window")
        part = Part(request.stage, self._set.scope(), request.window)
        texts = self._set.texts(part, ids)
        if gone := {*ids} - {text.id for text in texts}:  # refused once, so that they counted as held
            self._set.forget(part, [*gone], by_peer=False)
        unsent = next((text.id for text in texts if text.json is None), None)
        asked = len(ids) if unsent is None else ids.index(unsent)
        return encode(FetchAnswer([msgspec.Raw(text.json) for text in texts if text.json is not None], asked))

    def _compared(self, request: Compare) -> bytes | None:
        if len(request.message) > MOST_MESSAGE_BYTES:
            raise Unreadable("the message of negentropy is too long")
        items = self._set.items(request.part)
        if items is None:
            return None
        try:
            return respond(items, request.message, FRAME_BYTES)
        except Invalid as error:
            raise Unreadable(error.message) from None

    def _check(self, request: Plan | Compare) -> None:
        """Ids of public events are no secret, whatever is sent to this peer."""
        if not request.part.is_valid:
            raise Unreadable("no scope, or no window")
        if request.part.scope.private and not self._set.scope().private:
            raise Unreadable("private kinds are not for this region")
