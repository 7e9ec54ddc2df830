"""The policies that every event must pass, on every write path (X-2), in order."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from relay.metrics import counters
from relay.policies.lists import Lists
from relay.policies.source import Source, SourceKind
from relay.protocol import kinds, reposts
from relay.protocol.errors import AuthRequired, Blocked, Invalid, RelayError, Restricted
from relay.protocol.event import Event, expiration, is_protected
from relay.protocol.limits import Limits
from relay.protocol.proof_of_work import lacks_work
from relay.protocol.removal import relays_of


class Context(Struct, frozen=True, gc=False):
    """The input of a policy beside the event. `now` in Unix seconds; `lists`: the operators', as of now."""

    limits: Limits
    now: int
    source: Source
    lists: Lists


PEER_SKEW_SECONDS = 60
"""How far the clock of a region may be behind that of a peer whose newest events it still accepts."""

WRAP_SECONDS = 2 * 86_400
"""How far back senders date a gift wrap, to hide when it was written (NIP-17, NIP-59)."""

TOO_OLD = "this relay no longer keeps events of this kind that are so old"
EXPIRED = "event expired"

Policy = Callable[[Context, Event], RelayError | None]


def created_at_in_window(context: Context, event: Event) -> RelayError | None:
    """01-E11: not too far in the future, nor in the past if the operator sets that limit. A gift wrap may be dated back
    (59-6).
    """
    ahead = event.created_at - context.now
    is_from_peer = context.source.kind is SourceKind.PEER  # which has checked it by its own clock, perhaps long ago
    if ahead > context.limits.created_at_upper_limit + (PEER_SKEW_SECONDS if is_from_peer else 0):
        return Invalid(f"created_at is more than {context.limits.created_at_upper_limit} seconds in the future")
    if event.kind == kinds.VANISH or is_from_peer:  # 62-4: a right of every key, which no operator takes away
        return None
    oldest = context.limits.created_at_lower_limit
    if not oldest:
        return None
    if event.kind in kinds.ONE_TIME_KEYS:
        oldest += WRAP_SECONDS
    return Invalid(f"created_at is more than {oldest} seconds in the past") if -ahead > oldest else None


def within_retention(context: Context, event: Event) -> RelayError | None:
    """11-6: what retention would remove is not stored, and what it has removed does not come back."""
    lists = context.lists
    if not lists.retention.is_outside(event.kind, event.created_at, event.pubkey, lists.allowed_keys, context.now):
        return None
    return Invalid(TOO_OLD)


def not_an_old_ephemeral(context: Context, event: Event) -> RelayError | None:
    """01-K04: an ephemeral event is news; an old one was recorded, and is sent again. A gift wrap may be dated back."""
    oldest = context.limits.ephemeral_seconds
    if not oldest or not kinds.is_ephemeral(event.kind):
        return None
    if event.kind in kinds.ONE_TIME_KEYS:
        oldest += WRAP_SECONDS
    if context.now - event.created_at > oldest:
        return Invalid(f"an ephemeral event may be at most {oldest} seconds old")
    return None


def not_expired(context: Context, event: Event) -> RelayError | None:
    """40-1: an expired event is refused."""
    expires_at = expiration(event.tags)
    if expires_at is not None and expires_at <= context.now:
        return Invalid(EXPIRED)
    return None


def names_relays(_context: Context, event: Event) -> RelayError | None:
    """62-4: a request to vanish has at least one `relay` tag."""
    if event.kind != kinds.VANISH or relays_of(event.tags):
        return None
    return Invalid("a request to vanish must have a relay tag")


def logged_in(context: Context, event: Event) -> RelayError | None:
    """42-7: a client logs in before it publishes, if the operator asks it for this kind. A request to vanish needs no
    login (62-4): its signature is the author's word, and a banned key has no login.
    """
    asked = context.limits.auth_to_write
    if event.kind == kinds.VANISH or (asked is not None and event.kind not in asked):
        return None
    if context.source.kind is SourceKind.CLIENT and not context.source.proved:
        return AuthRequired("log in to publish this")
    return None


def not_a_login(_context: Context, event: Event) -> RelayError | None:
    """42-4: a login is meant for one relay, or one HTTP request, and is never published: others could use it."""
    if event.kind in kinds.LOGINS:
        return Invalid(f"an event of kind {event.kind} is a login and cannot be published")
    return None


def not_a_bare_seal(_context: Context, event: Event) -> RelayError | None:
    """17-1: a seal was never meant to leave its gift wrap, which hides who sent it to whom."""
    return Blocked("a seal must stay in its gift wrap") if event.kind == kinds.SEAL else None


def enough_work(context: Context, event: Event) -> RelayError | None:
    """13-1, 13-2: proof of work as the operator asks it of this kind; a request to vanish needs none (62-4), nor does a
    copy of another region, which has asked for it.
    """
    least = 0 if context.source.kind is SourceKind.PEER else context.limits.pow_asked(event.kind)
    return lacks_work(event, least) if least and event.kind != kinds.VANISH else None


def not_protected(context: Context, event: Event) -> RelayError | None:
    """70-1: an event with a `-` tag may only come from its author; 70-3: or from a source that the operator trusts. A
    copy from another region of this relay is no publishing.
    """
    source = context.source
    if source.trusted or source.kind is SourceKind.PEER:
        return None
    if not is_protected(event.tags) or event.pubkey in source.proved:
        return None
    if source.kind is SourceKind.CLIENT and not source.proved:
        return AuthRequired("this event may only be published by its author")
    return Restricted("this event may only be published by its author")


def no_protected_repost(context: Context, event: Event) -> RelayError | None:
    """70-2: a repost must not contain a protected event."""
    if event.kind in reposts.KINDS and reposts.carries_protected(event.content):
        return Blocked("a protected event cannot be reposted")
    return None


def not_banned(context: Context, event: Event) -> RelayError | None:
    """86-5: a banned key publishes nothing but a request to vanish (62-4)."""
    lists = context.lists
    if lists.banned_keys and event.kind != kinds.VANISH and lists.is_banned(event.pubkey, context.now):
        return Blocked("this public key is banned here")
    return None


def not_removed(context: Context, event: Event) -> RelayError | None:
    """86-5: what an operator has removed stays away."""
    return Blocked("removed by the operators of this relay") if event.id in context.lists.banned_events else None


def kind_allowed(context: Context, event: Event) -> RelayError | None:
    """86-7: a denied kind, and with restricted kinds one that is not allowed."""
    kind, lists = event.kind, context.lists
    if kind == kinds.VANISH:
        return None
    if kind in lists.denied_kinds or (context.limits.restricted_kinds and kind not in lists.allowed_kinds):
        return Blocked(f"events of kind {kind} are not accepted here")
    return None


def key_allowed(context: Context, event: Event) -> RelayError | None:
    """86-7: with restricted writes only allowed keys publish, as authors or logged in. A gift wrap has a key that is
    used once, so those for an allowed key come in, too (59-6).
    """
    if not context.limits.restricted_writes or event.kind == kinds.VANISH:
        return None
    allowed = context.lists.allowed_keys
    if event.pubkey in allowed or any(key in allowed for key in context.source.proved):
        return None
    if event.kind in kinds.ONE_TIME_KEYS and any(tag[0] == "p" and tag[1] in allowed for tag in event.tags if tag[1:]):
        return None
    if context.source.kind is SourceKind.CLIENT and not context.source.proved:  # a login as a member would do
        return AuthRequired("only members publish here")
    return Restricted("only members publish here")


BEFORE_SIGNATURE: Sequence[Policy] = (
    logged_in,
    created_at_in_window,
    within_retention,
    not_an_old_ephemeral,
    not_a_login,
    not_a_bare_seal,
    enough_work,
    not_protected,
    not_expired,
    names_relays,
    not_banned,
    not_removed,
    kind_allowed,
    key_allowed,
)
"""Cheap policies, in order, checked before the signature."""

AFTER_SIGNATURE: Sequence[Policy] = (no_protected_repost,)
"""Costly policies, in order, checked for new events with a valid signature."""


def check(policies: Sequence[Policy], context: Context, event: Event) -> None:
    """Raises the RelayError of the first policy that refuses."""
    for policy in policies:
        objection = policy(context, event)
        if objection is not None:
            counters.refused_by[policy.__name__] += 1
            raise objection
