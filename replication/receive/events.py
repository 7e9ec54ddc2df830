"""POST /replicate: events of a peer, through `ingest` as those of any publisher.

Deletions, requests to vanish, expiration, retention, bans and the operators' kinds and policies apply; what the peer
has asked its own clients for does not: rate limits, proof of work, logins. Ids are always verified, signatures unless
the peer is trusted.
"""

from collections.abc import Sequence

import msgspec

from relay.background import Turn
from relay.ingest import outcome as of
from relay.ingest.judgements import UNAVAILABLE
from relay.ingest.outcome import Outcome as Ingested
from relay.ingest.outcome import Status
from relay.policies.admission import EXPIRED, TOO_OLD
from relay.policies.source import Source, SourceKind
from relay.protocol.errors import Invalid
from relay.protocol.event import Event
from relay.protocol.limits import Limits
from relay.protocol.shape import decode_event
from replication import metrics
from replication.answers import MAX_REASON, Fate, Outcome, Taken, decode_events, encode
from replication.receive.receiver import Receiver
from replication.receive.table import Peer

_decode = msgspec.json.Decoder(Event).decode

_FATES = {
    Status.STORED: Fate.STORED,
    Status.DUPLICATE: Fate.DUPLICATE,
    Status.OUTDATED: Fate.OUTDATED,
    Status.EPHEMERAL: Fate.DELIVERED,
    Status.SHADOWED: Fate.REFUSED,
    Status.REFUSED: Fate.REFUSED,
    Status.FAILED: Fate.FAILED,
}
_GONE = frozenset({Invalid(text).text for text in (EXPIRED, TOO_OLD)})
SHADOWED = "blocked: the operator's policy drops it"


async def take_events(receiver: Receiver, peer: Peer, content: bytes) -> bytes:
    """The outcomes of the events. Raises Unreadable for what is no list of them."""
    parsed = await _parsed(decode_events(content), receiver.relay.config.limits)
    source = Source(
        SourceKind.PEER, address=peer.name, origin=peer.origin, trusted=peer.trusted, owner=f"peer {peer.name}"
    )
    ingested = iter(await receiver.relay.ingest.batch([e for e in parsed if isinstance(e, Event)], source))
    outcomes = [outcome_of(next(ingested)) if isinstance(each, Event) else each for each in parsed]
    for fate in {outcome.fate for outcome in outcomes}:
        metrics.received.labels(peer.name, fate.value).inc(sum(outcome.fate is fate for outcome in outcomes))
    accepts = receiver.accepts()
    is_storing = bool(accepts.events) and all(outcome.text != UNAVAILABLE for outcome in outcomes)
    return encode(Taken(outcomes, accepts, is_storing))


async def _parsed(texts: Sequence[bytes], limits: Limits) -> list[Event | Outcome]:
    """Each as an event, or the outcome of what is none."""
    turn, found = Turn(), list[Event | Outcome]()
    for text in texts:
        try:
            found.append(_event(text, limits))
        except Invalid as fault:
            found.append(Outcome(Fate.REFUSED, fault.text[:MAX_REASON]))
        await turn.end()
    return found


def _event(text: bytes, limits: Limits) -> Event:
    """Raises Invalid, also for one that no client could have sent here."""
    if len(text) > limits.max_message_length:
        raise Invalid(f"an event may have up to {limits.max_message_length} bytes")
    try:
        return _decode(text)
    except (msgspec.MsgspecError, ValueError):
        return decode_event(text, limits)  # unknown keys, or a fault that it describes


def outcome_of(ingested: Ingested) -> Outcome:
    """As the peer is told. What this region would not serve any more anyhow is gone, and was not refused."""
    if ingested == of.DELETED or ingested.text in _GONE:
        return Outcome(Fate.GONE, ingested.text)
    if ingested.status is Status.SHADOWED:
        return Outcome(Fate.REFUSED, SHADOWED)
    fate = _FATES[ingested.status]
    return Outcome(fate, ingested.text[:MAX_REASON] if fate in {Fate.REFUSED, Fate.FAILED} else "")
