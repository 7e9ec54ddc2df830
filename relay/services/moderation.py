"""What operators do: the one set of services for the admin, and for other programs that manage the relay.

Each is one transaction, in force on return for what is stored, and in every process within a second for all else
(`relay.services.lists`). They are called in a thread, on Django's connection, outside of transactions. Each raises
CannotModerate, with a sentence for the operator, if it is refused; a change that changes nothing is no error.
"""

import re
import time

from django.conf import settings

from relay.policies.lists import FOR_EVER, MAX_ENTRIES, ListName
from relay.policies.networks import WIDEST, Network, network_in, written
from relay.protocol import nip19
from relay.protocol.retention import MAX_RULES, NotARule, parse_rule
from relay.services import process
from relay.storage import moderation as rows

HEX_KEY = re.compile(r"[0-9a-f]{64}")
LONGEST_REASON = 1_000
END_SECONDS = 60
"""How long an ended connection stands on its list: processes read it within a second."""


class CannotModerate(ValueError):
    """The change is refused; the message says why, and what to do."""


def ban_key(key: str, *, by: str, reason: str = "", until: int = FOR_EVER, remove: bool = True) -> None:
    """Ban a public key until a time (Unix seconds): it publishes nothing and its logins end. With `remove` all that it
    stored is removed. Not for the keys of the operator and of the relay itself.
    """
    key = public_key(key)
    if key in protected_keys():
        raise CannotModerate("This is the key of the operator or of the relay itself: it cannot be banned.")
    _check_room(ListName.BANNED_KEY, key)
    rows.ban_key(key, reason=_reason(reason), until=_until(until), by=by, removes=remove)
    _in_force()


def unban_key(key: str, *, by: str, reason: str = "") -> None:
    """Lift the ban of a public key."""
    _lift(ListName.BANNED_KEY, public_key(key), by, reason)


def allow_key(key: str, *, by: str, reason: str = "") -> None:
    """Let a public key publish where RELAY_RESTRICTED_WRITES is on."""
    _add(ListName.ALLOWED_KEY, public_key(key), by, reason)


def unallow_key(key: str, *, by: str, reason: str = "") -> None:
    """Take a public key from those that may publish."""
    _lift(ListName.ALLOWED_KEY, public_key(key), by, reason)


def ban_event(event: str, *, by: str, reason: str = "") -> bool:
    """Remove an event and keep it away; returns whether it was stored."""
    named = event_id(event)
    _check_room(ListName.BANNED_EVENT, named)
    was_stored = rows.ban_event(named, reason=_reason(reason), by=by)
    _in_force()
    return was_stored


def allow_event(event: str, *, by: str, reason: str = "") -> None:
    """Let an event come back that was removed. It is not stored again by itself."""
    named = event_id(event)
    if rows.entry(ListName.BANNED_EVENT, named) is not None:
        rows.unban_event(named, reason=_reason(reason), by=by)
        _in_force()


def block_network(network: str, *, by: str, reason: str = "", until: int = FOR_EVER) -> str:
    """Refuse connections from an address or a network, in any spelling, and end the open ones; returns its one form."""
    found = _network(network)
    if found.prefixlen < WIDEST[found.version]:
        raise CannotModerate(f"{written(found)} is too wide: the prefix must be /{WIDEST[found.version]} or longer.")
    key = written(found)
    _add(ListName.BLOCKED_NETWORK, key, by, reason, until)
    return key


def unblock_network(network: str, *, by: str, reason: str = "") -> None:
    """Let connections from a blocked address or network in again."""
    _lift(ListName.BLOCKED_NETWORK, written(_network(network)), by, reason)


def allow_kind(kind: int, *, by: str, reason: str = "") -> None:
    """Accept a kind, also where RELAY_RESTRICTED_KINDS is on; a denial of it is lifted."""
    key = _kind(kind)
    _lift(ListName.DENIED_KIND, key, by, reason)
    _add(ListName.ALLOWED_KIND, key, by, reason)


def disallow_kind(kind: int, *, by: str, reason: str = "") -> None:
    """Refuse a kind, whether kinds are restricted or not."""
    key = _kind(kind)
    _lift(ListName.ALLOWED_KIND, key, by, reason)
    _add(ListName.DENIED_KIND, key, by, reason)


def forget_kind(kind: int, *, by: str, reason: str = "") -> None:
    """Take a kind from both lists."""
    for name in (ListName.ALLOWED_KIND, ListName.DENIED_KIND):
        _lift(name, _kind(kind), by, reason)


def keep_events(rule: str, *, by: str, reason: str = "") -> str:
    """Add a rule of retention; returns its one form. What it does not keep is hidden and removed within minutes."""
    key = _retention_rule(rule)
    if rows.entry(ListName.RETENTION, key) is None and rows.size(ListName.RETENTION) >= MAX_RULES:
        raise CannotModerate(f"There are {MAX_RULES} rules: lift one first.")
    _add(ListName.RETENTION, key, by, reason)
    return key


def forget_rule(rule: str, *, by: str, reason: str = "") -> None:
    """Lift a rule of retention. What it removed does not come back by itself."""
    _lift(ListName.RETENTION, _retention_rule(rule), by, reason)


def _retention_rule(text: str) -> str:
    try:
        return str(parse_rule(text))
    except NotARule as error:
        raise CannotModerate(f"{error}.") from None


def end_connection(name: str, *, by: str, reason: str = "") -> None:
    """End one connection, by the name that the page of connections gives, in whichever process it is."""
    if not 0 < len(name) <= 200:
        raise CannotModerate("This is no name of a connection.")
    now = int(time.time())
    rows.forget_ended(ListName.ENDED_CONNECTION, now)
    _add(ListName.ENDED_CONNECTION, name, by, reason, now + END_SECONDS)


def close_report(target: str, *, by: str, reason: str = "") -> None:
    """Take what is reported off the queue until it is reported again. `target`: an id or a public key in hex."""
    if not HEX_KEY.fullmatch(target):
        raise CannotModerate("This is no target of a report.")
    rows.put(ListName.CLOSED_REPORT, target, reason=_reason(reason), until=FOR_EVER, by=by, lifted=False)


def protected_keys() -> frozenset[str]:
    """The keys that cannot be banned: a relay whose operator is banned could not be managed by key any more."""
    return frozenset({settings.RELAY_PUBKEY, settings.RELAY_SELF} - {""})


def public_key(text: str) -> str:
    """A public key in hex, from hex, npub or nprofile."""
    return _key(text, "author", "public key")


def event_id(text: str) -> str:
    """An event's id in hex, from hex, note or nevent."""
    return _key(text, "id", "event id")


def _key(text: str, part: str, what: str) -> str:
    text = text.strip()
    try:
        found = getattr(nip19.decode(text), part) if nip19.is_name(text) else text.lower()
    except nip19.NotAName:
        found = None
    if found is None or not HEX_KEY.fullmatch(found):
        raise CannotModerate(f"“{text[:80]}” is no {what}: write 64 hex digits, or a NIP-19 name.")
    return str(found)


def _network(text: str) -> Network:
    try:
        return network_in(text)
    except ValueError:
        raise CannotModerate(f"“{text[:80]}” is no address and no network.") from None


def _kind(kind: int) -> str:
    if not 0 <= kind <= 65_535:
        raise CannotModerate("Kinds are whole numbers from 0 to 65535.")
    return str(kind)


def _reason(text: str) -> str:
    return text.replace("\x00", "")[:LONGEST_REASON]


def _until(until: int) -> int:
    if until != FOR_EVER and until <= time.time():
        raise CannotModerate("The end lies in the past.")
    return min(until, 2**62)


def _check_room(name: ListName, key: str) -> None:
    if rows.entry(name, key) is None and rows.size(name) >= MAX_ENTRIES:
        raise CannotModerate(f"The list is full: it may have {MAX_ENTRIES:,} entries.")


def _add(name: ListName, key: str, by: str, reason: str, until: int = FOR_EVER) -> None:
    _check_room(name, key)
    rows.put(name, key, reason=_reason(reason), until=_until(until), by=by, lifted=False)
    _in_force()


def _lift(name: ListName, key: str, by: str, reason: str) -> None:
    if rows.entry(name, key) is not None:
        rows.put(name, key, reason=_reason(reason), until=FOR_EVER, by=by, lifted=True)
        _in_force()


def _in_force() -> None:
    """Have this process, if it serves clients, and the others read the change now. Without it they read it within a
    second.
    """
    relay = process.current()
    if relay is not None:
        relay.moderated()
