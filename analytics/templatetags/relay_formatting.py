"""Template tags for untrusted text (relay.admin.formatting)."""

from collections.abc import Mapping, Sequence

from django import template
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

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


@register.filter
def breadcrumb(title: object) -> str:
    """A part of the page's heading: the name of a list with a capital, that of an object as it is."""
    if isinstance(title, Model):
        from relay.admin.formatting import isolated

        return isolated(str(title), 200)
    return capfirst(str(title))


@register.filter
def first_cell(cell: SafeString, header: Mapping[str, object]) -> SafeString:
    """A row's first cell with its column's label, none for a checkbox; django-unfold labels both "Select record"."""
    is_checkbox = 'class="action-checkbox' in cell
    label = "" if is_checkbox else escape(str(header["text"]))
    return mark_safe(cell.replace('data-label="Select record"', f'data-label="{label}"', 1))  # noqa: S308  escaped


@register.simple_tag
def section(request: HttpRequest | None) -> str:
    """The section of the side bar that the request's page belongs to; "" for none."""
    from analytics.navigation import section_of

    match = request.resolver_match if request else None
    return section_of(match.url_name if match else None)


@register.filter
def labelled(cells: Sequence[str], listed: str) -> list[tuple[str, str]]:
    """Each cell with its column's label; `listed`: labels separated by commas."""
    return list(zip(words(listed), cells, strict=False))
