"""The operator's view of the relay, in Django's admin with django-unfold's looks.

Rule: what the relay stores is read-only here, and no page counts a large table or reads it whole.
"""

from relay.admin import accounts, changes, events, signins, tags, trail

__all__ = ["accounts", "changes", "events", "signins", "tags", "trail"]
