"""The transactions of operators (storage/sql/moderation.sql), on Django's connection."""

from typing import Any

from django.db import connection

from relay.models import ListEntry


def put(name: str, key: str, *, reason: str, until: int, by: str, lifted: bool) -> None:
    """Add, change or lift an entry of the list `name`."""
    _call("SELECT relay_list_put(%s, %s, %s, %s, %s, %s)", name, key, reason, until, by, lifted)


def ban_key(key: str, *, reason: str, until: int, by: str, removes: bool) -> None:
    """Ban a public key (hex); with `removes` everything that it stored is hidden at once and removed by a job."""
    _call("SELECT relay_ban_key(%s, %s, %s, %s, %s)", bytes.fromhex(key), reason, until, by, removes)


def ban_event(event_id: str, *, reason: str, by: str) -> bool:
    """Remove an event and keep it away; returns whether it was stored."""
    return bool(_call("SELECT relay_ban_event(%s, %s, %s)", bytes.fromhex(event_id), reason, by))


def unban_event(event_id: str, *, reason: str, by: str) -> None:
    """Let an event come back."""
    _call("SELECT relay_unban_event(%s, %s, %s)", bytes.fromhex(event_id), reason, by)


def entry(name: str, key: str) -> ListEntry | None:
    """The entry, None if it is not on the list."""
    return ListEntry.objects.filter(list=name, key=key, removed=False).first()


def size(name: str) -> int:
    """The entries of a list; a count of at most some thousand index entries."""
    return ListEntry.objects.filter(list=name, removed=False).count()


def keys(name: str) -> list[str]:
    """The keys of a list that is short, in one order."""
    return list(ListEntry.objects.filter(list=name, removed=False).order_by("key").values_list("key", flat=True))


def forget_ended(name: str, before: int) -> None:
    """Delete entries of `name` that ended before a time (Unix seconds)."""
    ListEntry.objects.filter(list=name, until__lt=before).exclude(until=0)._raw_delete(connection.alias)


def _call(statement: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()[0]
