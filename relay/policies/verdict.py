"""What the operator's own policy says of an event, and what it gets to see. Pure.

A function that RELAY_POLICY names takes (EventView, Source) and returns, or is awaited for, one of: None or True to
accept, False or a text to reject (the text with or without a prefix of NIP-01), or a Verdict.
"""

from typing import Any, Final

from msgspec import Struct

from relay.protocol.errors import Prefix
from relay.protocol.event import Event

LONGEST_TEXT = 500
"""Characters of a reason that a client is sent."""

NO_REASON = "not accepted by the policy of this relay"

_PREFIXES = frozenset(Prefix) - {Prefix.UNSUPPORTED}
"""Those of an OK."""


class EventView(Struct, frozen=True, gc=False):
    """An event that cannot be changed; the fields are those of NIP-01."""

    id: str
    pubkey: str
    created_at: int
    kind: int
    tags: tuple[tuple[str, ...], ...]
    content: str
    sig: str

    @classmethod
    def of(cls, event: Event) -> "EventView":
        """A copy of an event."""
        tags = tuple(tuple(tag) for tag in event.tags)
        return cls(event.id, event.pubkey, event.created_at, event.kind, tags, event.content, event.sig)


class Verdict(Struct, frozen=True, gc=False):
    """`text`: the reason of a refusal. With `shadow` the client is told OK true, and the event goes nowhere."""

    accepted: bool
    text: str = ""
    shadow: bool = False


ACCEPT: Final = Verdict(True)
SHADOW: Final = Verdict(False, shadow=True)


def reject(text: str = "") -> Verdict:
    """A refusal, in the form that an OK has (01-E02); a reason without a prefix of NIP-01 gets `blocked:`."""
    text = " ".join(text.split())[:LONGEST_TEXT].encode(errors="replace").decode()  # half a surrogate
    prefix, colon, reason = text.partition(":")
    if not colon or prefix not in _PREFIXES:
        prefix, reason = Prefix.BLOCKED, text
    return Verdict(False, f"{prefix}: {reason.strip() or NO_REASON}")


def verdict_of(answer: Any) -> Verdict:
    """The verdict that a function's return value stands for. Raises TypeError for another value."""
    if answer is None or answer is True:
        return ACCEPT
    if answer is False:
        return reject()
    if isinstance(answer, str):
        return reject(answer)
    if isinstance(answer, Verdict):
        return answer if answer.accepted or answer.shadow else reject(answer.text)
    raise TypeError(f"a policy returns None, True, False, a text or a Verdict, not {answer!r:.80}")
