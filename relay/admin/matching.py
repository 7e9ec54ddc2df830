"""Turns a search (relay.admin.search) into a query that scans one index."""

from relay.admin.search import Search
from relay.models import Event
from relay.storage.admin_queries import Events, newest_version, with_tag


def matching(events: Events, search: Search) -> Events:
    """The `events` that match the search."""
    if search.key is not None:
        # A query of its own, because no single index answers "id or author" in order.
        is_id = Event.objects.filter(id=search.key).exists()
        events = events.filter(id=search.key) if is_id else events.filter(pubkey=search.key)
    if search.address is not None:
        events = events.filter(id=newest_version(*search.address) or "")
    fields = {"id": search.id, "pubkey": search.author, "kind": search.kind}
    events = events.filter(**{field: value for field, value in fields.items() if value is not None})
    events = between(events, search.since, search.until)
    return events if search.tag is None else with_tag(events, search.tag, search.since, search.until)


def between(events: Events, since: int | None, until: int | None) -> Events:
    """The `events` created from `since` to `until` (Unix seconds, None: no bound)."""
    if since is not None:
        events = events.filter(created_at__gte=since)
    return events if until is None else events.filter(created_at__lte=until)
