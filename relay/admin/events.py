"""Stored events: a list searched by index scans, and a page for each event."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from relay.admin.filters import KindFilter, TimeFilter, time_range
from relay.admin.formatting import (
    author_link,
    block,
    copy_button,
    copyable,
    event_link,
    format_time,
    isolated,
    key_forms,
    one_line,
    search_link,
    text,
    with_visible_formatting,
)
from relay.admin.matching import matching
from relay.admin.moderate import may, task_link
from relay.admin.paging import AuthorsChangeList, NewestChangeList
from relay.admin.readonly import EventColumns, StoreAdmin
from relay.admin.responses import address_of, author_names, response_links
from relay.admin.search import HEX_KEY, BadSearch, parse_search
from relay.models import Event
from relay.protocol import nip19
from relay.storage.admin_queries import Events

EXCERPT_CHARACTERS = 140
SHOWN_TAGS = 500
BUTTONS = {"removal": "remove-event", "ban": "ban-key"}
"""Fields with a button, and its task."""

arrival_of: list[Callable[[Event], str]] = []
"""Functions that give the time of an event's arrival as text, "" if unknown; an app with a history adds its own."""


Shown = TypeVar("Shown")


def once(method: Callable[[Any, Event], Shown]) -> Callable[[Any, Event], Shown]:
    """Decorator: keeps the result with the event, because django-unfold asks five times for each field of a page."""

    @wraps(method)
    def kept(self: Any, event: Event) -> Shown:
        name = f"_shown_{method.__name__}"
        if name not in event.__dict__:
            event.__dict__[name] = method(self, event)
        found: Shown = event.__dict__[name]
        return found

    return kept


class EventChangeList(AuthorsChangeList, NewestChangeList):
    """The newest events with the names of their authors."""


@admin.register(Event)
class EventAdmin(EventColumns, StoreAdmin[Event]):
    """Read-only: a changed event would lose its signature."""

    list_display = ("created", "kind_named", "author", "excerpt")
    list_filter = (KindFilter, TimeFilter)
    search_fields = ("id",)
    search_help_text = (
        "id or public key in hex · npub, note, nevent, naddr · kind:1 · t:bitcoin · since:2026-01-31 · until:2026-02-01"
    )
    empty_help = "Events appear here as soon as clients publish them."
    sortable_by = ("created",)
    fields = (
        "id_named",
        "removal",
        "ban",
        "author_full",
        "created",
        "arrived",
        "kind_named",
        "expires",
        "responses",
        "content",
        "tag_table",
        "pretty_json",
    )
    readonly_fields = fields

    class Media:
        js = ("relay/copy.js",)

    def get_search_results(self, request: HttpRequest, queryset: Events, search_term: str) -> tuple[Events, bool]:
        """The matching events; none and an error message for a text that is not a search."""
        try:
            # The time filter bounds the scan of a tag as well.
            search = parse_search(search_term).within(*time_range(request.GET))
            return matching(queryset, search), False
        except BadSearch as error:
            messages.error(request, str(error))
            return queryset.none(), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Django: the list's class."""
        return EventChangeList

    @admin.display(description="author")
    def author(self, event: Any) -> SafeString:
        return author_link(event.pubkey, event.name)

    @admin.display(description="id")
    def id_named(self, event: Event) -> SafeString:
        return key_forms(event.id, "note")

    @admin.display(description="removal")
    @once
    def removal(self, event: Event) -> SafeString:
        return task_link("remove-event", "Remove event", event.id, reverse("admin:relay_event_changelist"))

    @admin.display(description="ban")
    @once
    def ban(self, event: Event) -> SafeString:
        return task_link("ban-key", "Ban author", event.pubkey)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Django: with the buttons that this operator may press."""
        return [name for name in self.fields if name not in BUTTONS or may(request, BUTTONS[name])]

    @admin.display(description="author")
    @once
    def author_full(self, event: Event) -> SafeString:
        name = author_names([event.pubkey]).get(event.pubkey, "")
        return format_html(
            "{}{}{}",
            format_html("<strong>{}</strong>", isolated(name, 80)) if name else "",
            copyable(event.pubkey, "public key in hex", search_link(f"author:{event.pubkey}", event.pubkey)),
            copyable(nip19.encode("npub", bytes.fromhex(event.pubkey)), "npub"),
        )

    @admin.display(description="arrived (UTC)")
    @once
    def arrived(self, event: Event) -> str:
        """When the event was stored, to the minute, if a history knows."""
        return next((found for look_up in arrival_of if (found := look_up(event))), "unknown")

    @admin.display(description="replies and reactions")
    @once
    def responses(self, event: Event) -> SafeString:
        """Counts by kind of the events that reference this one, among the newest 1,000, with links."""
        return response_links(event.id, address_of(event, _decoded(event)["tags"]))

    @admin.display(description="expires (UTC)")
    def expires(self, event: Event) -> str:
        return "never" if event.expires_at is None else format_time(event.expires_at)

    @admin.display(description="content")
    def excerpt(self, event: Event) -> SafeString:
        return isolated(one_line(str(_decoded(event)["content"]), EXCERPT_CHARACTERS), EXCERPT_CHARACTERS)

    @admin.display(description="content")
    @once
    def content(self, event: Event) -> SafeString:
        return block(str(_decoded(event)["content"]))

    @admin.display(description="tags")
    @once
    def tag_table(self, event: Event) -> str:
        tags: list[list[str]] = _decoded(event)["tags"]
        if not tags:
            return "none"
        rows = format_html_join("", "<tr><th>{}</th><td>{}</td><td>{}</td></tr>", map(_tag_row, tags[:SHOWN_TAGS]))
        more = f"and {len(tags) - SHOWN_TAGS:,} more" if len(tags) > SHOWN_TAGS else ""
        return format_html('<table class="relay-tags"><tbody>{}</tbody></table>{}', rows, more)

    @admin.display(description="JSON")
    @once
    def pretty_json(self, event: Event) -> SafeString:
        pretty = with_visible_formatting(json.dumps(_decoded(event), indent=2, ensure_ascii=False))
        return format_html("{}{}", copy_button(event.json, "JSON"), block(pretty))


def _decoded(event: Event) -> dict[str, Any]:
    return dict(json.loads(event.json))


def _tag_row(tag: list[str]) -> tuple[str, str, str]:
    """Name, value and the rest of a tag; the value is a link where an index can find it."""
    name, value, *rest = [*tag, "", ""][: max(2, len(tag))]
    return isolated(name, 100), _value_link(name, value), isolated(", ".join(rest), 500)


def _value_link(name: str, value: str) -> str:
    if name in ("e", "q") and HEX_KEY.fullmatch(value):
        return event_link(value)
    if name == "p" and HEX_KEY.fullmatch(value):
        return search_link(f"author:{value}", value)
    if len(name) == 1 and name.isascii() and name.isalpha() and value and '"' not in value:
        return search_link(f'{name}:"{value}"', text(value, 500))
    return isolated(value, 500)
