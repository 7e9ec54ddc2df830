"""The relay information document (NIP-11): who runs the relay, its limits, its supported NIPs.

Rule: a field is present only if it is set, and every number in it is enforced (11-4).
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from relay.protocol.limits import Limits
from relay.protocol.retention import KEEPS_ALL, Retention

_NAMES = {"own_pubkey": "self"}


@dataclass(frozen=True, slots=True)
class RelayIdentity:
    """The operator's description of the relay; empty texts are left out of the document.

    Checked at start-up, not here: name below 30 characters, `pubkey` and `own_pubkey` 64 lower-case hex digits,
    `contact` a URI, `software`, `icon`, `banner` and `terms_of_service` URLs (11-3).
    """

    name: str = ""
    description: str = ""
    banner: str = ""
    icon: str = ""
    pubkey: str = ""  # of the operator
    own_pubkey: str = ""  # of the relay itself: "self" in the document
    contact: str = ""
    software: str = ""
    version: str = ""
    terms_of_service: str = ""


def relay_information(
    identity: RelayIdentity, limits: Limits, supported_nips: Iterable[int], retention: Retention = KEEPS_ALL
) -> dict[str, Any]:
    """The document as JSON values, in a fixed order, so that every instance answers the same bytes (11-8).

    `supported_nips` are those enabled at run time (11-7). No payments, no max_filters (11-5, 11-6);
    `retention` only where some events are not kept for ever.
    """
    document: dict[str, Any] = {}
    for field in fields(identity):
        if text := getattr(identity, field.name):
            document[_NAMES.get(field.name, field.name)] = text
    document["supported_nips"] = sorted(set(supported_nips))
    document["limitation"] = _limitation(limits)
    if retention.kept:
        document["retention"] = retention.published()
    return document


def _limitation(limits: Limits) -> dict[str, Any]:
    limitation: dict[str, Any] = {
        "max_message_length": limits.max_message_length,
        "max_subscriptions": limits.max_subscriptions,
        "max_limit": limits.max_limit,
        "default_limit": min(limits.default_limit, limits.max_limit),  # as parse_filter applies it
        "max_subid_length": limits.max_subid_length,
        "max_event_tags": limits.max_event_tags,
        "max_content_length": limits.max_content_length,
        "created_at_upper_limit": limits.created_at_upper_limit,
        # Before anything else; where only reading or writing needs a login, the answer to a message says so.
        "auth_required": limits.auth_to_read and limits.auth_to_write is None,
        "payment_required": False,
        "restricted_writes": limits.auth_to_write != frozenset()
        or limits.asks_work
        or limits.restricted_writes
        or limits.restricted_kinds,
    }
    if limits.min_pow_difficulty:
        limitation["min_pow_difficulty"] = limits.min_pow_difficulty
    if limits.created_at_lower_limit:
        limitation["created_at_lower_limit"] = limits.created_at_lower_limit
    return limitation
