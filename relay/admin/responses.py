"""Replies and reactions to an event, and authors' names, at a bounded cost."""

import json
from collections.abc import Iterable, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from relay.admin.formatting import kind_name, search_link
from relay.models import Event
from relay.protocol.errors import Failed
from relay.protocol.kinds import METADATA, is_addressable, is_replaceable
from relay.storage import admin_queries

ALWAYS_SHOWN = {1: "Replies and mentions", 7: "Reactions", 6: "Reposts", 9735: "Zaps", 1984: "Reports"}
"""Kind -> label; shown with a count of 0 as well."""


def address_of(event: Event, tags: Sequence[Sequence[str]]) -> str:
    """The address of a replaceable or addressable event as in an `a` tag; "" for other events."""
    if is_addressable(event.kind):
        identifier = next((tag[1] for tag in tags if tag[:1] == ["d"] and len(tag) > 1), "")
        return f"{event.kind}:{event.pubkey}:{identifier}"
    return f"{event.kind}:{event.pubkey}:" if is_replaceable(event.kind) else ""


def response_links(event_id: str, address: str) -> SafeString:
    """A table of kinds and counts of the events that reference this one, with links to their lists."""
    try:
        found = admin_queries.responses(event_id, address)
    except Failed:
        return format_html("<p>Counting took too long.</p>")
    kinds = {**dict.fromkeys(ALWAYS_SHOWN, 0), **found.by_kind}
    tag = f'a:"{address}"' if address and '"' not in address else f"e:{event_id}"
    rows = format_html_join("", "<tr><th>{}</th><td>{}</td></tr>", (_row(tag, *pair) for pair in kinds.items()))
    more = "" if found.is_all else f"Among the newest {found.looked_at:,} references; there are more."
    return format_html('<table class="relay-tags"><tbody>{}</tbody></table>{}', rows, more)


def _row(tag: str, kind: int, count: int) -> tuple[str, str]:
    shown = f"{count:,}"
    return ALWAYS_SHOWN.get(kind) or kind_name(kind), search_link(f"{tag} kind:{kind}", shown) if count else shown


def author_names(pubkeys: Iterable[str]) -> dict[str, str]:
    """Pubkey -> display name from the profile (kind 0): untrusted text. Authors without a name are missing."""
    profiles = admin_queries.newest_versions(pubkeys, METADATA)
    return {pubkey: name for pubkey, text in profiles.items() if (name := _claimed_name(text))}


def _claimed_name(profile: str) -> str:
    try:
        claimed = json.loads(json.loads(profile)["content"])
    except (ValueError, RecursionError):
        return ""
    if not isinstance(claimed, dict):
        return ""
    return next((name for key in ("display_name", "name") if isinstance(name := claimed.get(key), str) and name), "")
