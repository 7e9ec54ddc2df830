"""Template tags for untrusted text (relay.admin.formatting)."""

from django import template
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def excerpt(content: str, longest: int) -> SafeString:
    """At most `longest` characters of an event's content on one line, escaped and bidi-isolated."""
    # Late: django-unfold loads template libraries while it is imported.
    from relay.admin.formatting import isolated, one_line

    return isolated(one_line(content, longest) or "(no text)", longest)


@register.filter
def words(listed: str) -> list[str]:
    """Split at commas."""
    return listed.split(",")
