"""The relay's tables, users and logs in Django's admin (django-unfold).

Rules: the relay's tables are read-only here; operators act through relay.services.moderation;
no page counts or scans a large table.
"""

from relay.admin import accounts, action_log, changes, connections, events, lists, reports, signins, tags, vanish

__all__ = [
    "accounts",
    "action_log",
    "changes",
    "connections",
    "events",
    "lists",
    "reports",
    "signins",
    "tags",
    "vanish",
]
