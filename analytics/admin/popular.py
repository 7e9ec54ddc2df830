"""Popular events: notes that more than ten people engaged with in the last seven days."""

import time
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from analytics.admin.view_admin import NamedChangeList, ViewAdmin
from analytics.dashboard.summary import contents
from analytics.models import PopularEvent
from analytics.popularity import DAY_SECONDS
from relay.admin.formatting import author_link, format_time, isolated, kind_name, one_line, short

EXCERPT_CHARACTERS = 160
DAYS = {"1": "the last day", "3": "the last 3 days", "7": "the last 7 days"}


class KindFilter(admin.SimpleListFilter):
    """Popular events of one kind. The choices are the kinds of the view."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Django: the choices."""
        kinds = PopularEvent.objects.order_by("kind").values_list("kind", flat=True).distinct()
        return [(str(kind), kind_name(kind)) for kind in kinds]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Django: the filtered rows."""
        chosen = self.value()
        return queryset.filter(kind=int(chosen)) if chosen and chosen.isdecimal() and len(chosen) < 6 else queryset


class PeriodFilter(admin.SimpleListFilter):
    """Events created in the last days."""

    title = "created in"
    parameter_name = "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Django: the choices."""
        return DAYS.items()

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Django: the filtered rows."""
        chosen = self.value()
        if chosen not in DAYS:
            return queryset
        return queryset.filter(created_at__gt=int(time.time()) - int(chosen) * DAY_SECONDS)


class PopularChangeList(NamedChangeList):
    """Adds `row.content`, None after a deletion, with one query for the page."""

    def get_results(self, request: HttpRequest) -> None:
        """Django: read the rows."""
        super().get_results(request)
        texts = contents([row.event_id for row in self.result_list])
        for row in self.result_list:
            row.content = texts.get(row.event_id)


@admin.register(PopularEvent)
class PopularEventAdmin(ViewAdmin[PopularEvent]):
    """By number of people. Contents are untrusted text."""

    view_name = "popular_events"
    empty_help = (
        "Notes of the last seven days that more than ten people other than the author reacted to, reposted, "
        "replied to or zapped."
    )
    list_display = (
        "rank",
        "note",
        "author",
        "people",
        "reactions",
        "reposts",
        "replies",
        "zaps",
        "created",
    )
    list_filter = (KindFilter, PeriodFilter)
    ordering = ("rank",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Django: the list's class."""
        return PopularChangeList

    @admin.display(description="event")
    def note(self, row: Any) -> SafeString:
        if row.content is None:
            return format_html('<span class="relay-hex">{}</span> (removed)', short(row.event_id))
        shown = one_line(row.content, EXCERPT_CHARACTERS)
        url = reverse("admin:relay_event_change", args=[row.event_id])
        label = isolated(shown, EXCERPT_CHARACTERS) if shown else short(row.event_id)
        return format_html('<a class="relay-link" href="{}">{}</a>', url, label)

    @admin.display(description="author")
    def author(self, row: Any) -> SafeString:
        return author_link(row.pubkey, row.name)

    @admin.display(description="created (UTC)", ordering="created_at")
    def created(self, row: PopularEvent) -> str:
        return format_time(row.created_at)
