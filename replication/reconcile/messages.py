"""The messages of anti-entropy between two regions: JSON, bytes in base64, over signed requests.

The responder keeps nothing between requests: each says stage, scope and window.
"""

from enum import StrEnum
from typing import Final

import msgspec

from relay.protocol.negentropy.encoding import ID_BYTES, INFINITY, TIME_BYTES
from replication.answers import decode_events
from replication.reconcile.scope import Scope

WINDOW_ITEMS: Final = 20_000
"""Of one window, on either side: 800 KB, read in some 30 ms."""
MOST_ITEMS: Final = 2 * WINDOW_ITEMS
"""A window that has grown to more meanwhile is divided again."""
PLAN_WINDOWS: Final = 16
"""Windows that one request plans: 320,000 events are counted for it."""
FRAME_BYTES: Final = 1_048_576
"""Of a message of negentropy: all ids of a window in one."""
MOST_MESSAGE_BYTES: Final = 131_072
"""Of the asker's message, which has 60,000. 6 MB of empty ranges kept a thread busy for 15 s."""
FETCH_EVENTS: Final = 500
FETCH_BYTES: Final = 4_194_304
"""An answer ends with the event that reaches FETCH_BYTES."""


class Stage(StrEnum):
    """What takes away first, so that nothing that was deleted comes back."""

    REMOVALS = "removals"
    """Kinds 5, and the newest request to vanish of each key."""
    EVENTS = "events"
    """All other kinds."""


class Window(msgspec.Struct, frozen=True):
    """Items from `lower` up to but not including `upper`; both are bounds of negentropy."""

    lower: bytes
    upper: bytes

    @property
    def is_valid(self) -> bool:
        """Whether both are bounds, in order."""
        longest = TIME_BYTES + ID_BYTES
        return all(TIME_BYTES <= len(bound) <= longest for bound in (self.lower, self.upper)) and (
            self.lower <= self.upper
        )


def window_of(since: int | None, until: int | None) -> Window:
    """The window of these times in Unix seconds, both included; None for no bound."""
    lower = max(0, since or 0).to_bytes(TIME_BYTES, "big")
    return Window(lower, INFINITY if until is None else (max(0, until) + 1).to_bytes(TIME_BYTES, "big"))


class Part(msgspec.Struct, frozen=True):
    """What is compared at a time."""

    stage: Stage
    scope: Scope
    window: Window

    @property
    def is_valid(self) -> bool:
        """Whether it can be asked of the store."""
        return self.scope.is_valid and self.window.is_valid

    def within(self, lower: bytes, upper: bytes) -> "Part":
        """A part of its window."""
        return Part(self.stage, self.scope, Window(lower, upper))


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="op"):
    """The beginning of a run: which events does the responder send?"""


class HelloAnswer(msgspec.Struct, frozen=True):
    """The scope of what the responder sends to the asker."""

    scope: Scope


class Plan(msgspec.Struct, frozen=True, tag="plan", tag_field="op"):
    """Where would the responder divide this part?"""

    part: Part


class PlanAnswer(msgspec.Struct, frozen=True):
    """Bounds in ascending order, at most PLAN_WINDOWS. `more`: there may be others after the last."""

    bounds: list[bytes]
    more: bool


class Compare(msgspec.Struct, frozen=True, tag="compare", tag_field="op"):
    """A message of negentropy about a part."""

    part: Part
    message: bytes


class CompareAnswer(msgspec.Struct, frozen=True):
    """The responder's message; None if the window holds more than MOST_ITEMS."""

    message: bytes | None


class Fetch(msgspec.Struct, frozen=True):
    """Events by id, at most FETCH_EVENTS, which lie in the window."""

    stage: Stage
    window: Window
    ids: list[bytes]


class FetchAnswer(msgspec.Struct, frozen=True):
    """The events that are still there and may be sent. `asked`: to how many of the ids this is the answer, from the
    first on; fewer than all where FETCH_BYTES were reached.
    """

    events: list[msgspec.Raw]
    asked: int


class _FetchAnswerText(msgspec.Struct, frozen=True):
    """The same, with the list as it came: it is read by the decoder that ends at the bound of events."""

    events: msgspec.Raw
    asked: int


Request = Hello | Plan | Compare

encode = msgspec.json.Encoder().encode
decode_request = msgspec.json.Decoder(Request).decode
decode_fetch = msgspec.json.Decoder(Fetch).decode
decode_hello_answer = msgspec.json.Decoder(HelloAnswer).decode
decode_plan_answer = msgspec.json.Decoder(PlanAnswer).decode
decode_compare_answer = msgspec.json.Decoder(CompareAnswer).decode
_decode_fetch_answer = msgspec.json.Decoder(_FetchAnswerText).decode


def decode_fetch_answer(content: bytes) -> FetchAnswer:
    """Raises Unreadable, MsgspecError."""
    read = _decode_fetch_answer(content)
    return FetchAnswer([msgspec.Raw(text) for text in decode_events(read.events)], read.asked)
