"""Hostile text in templates: the same rules as in lists (relay.admin.formatting)."""

from django import template
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def excerpt(content: str, longest: int) -> SafeString:
    """At most `longest` characters of an event's content on one line, escaped and isolated."""
    from relay.admin.formatting import (
        isolated,
        one_line,
    )  # late: django-unfold reads template libraries while it is imported

    return isolated(one_line(content, longest) or "(no text)", longest)


@register.filter
def words(listed: str) -> list[str]:
    """The parts of a text between its commas."""
    return listed.split(",")
