"""Lists of hashtags, active authors, reports and store growth."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from analytics.admin.view_admin import NamedChangeList, ViewAdmin
from analytics.dashboard.charts import PERIODS, chart_named
from analytics.dashboard.number_format import count, signed, size
from analytics.dashboard.page import may_see
from analytics.models import ActiveAuthor, ReportedTarget, StoreGrowth, TrendingHashtag
from relay.admin.formatting import author_link, event_link, format_time, isolated, search_link, short, text


@admin.register(TrendingHashtag)
class TrendingHashtagAdmin(ViewAdmin[TrendingHashtag]):
    """By distinct authors in the last 24 hours."""

    view_name = "trending_hashtags"
    list_display = ("rank", "tag", "authors", "previous_authors", "events")
    empty_help = "Hashtags (t tags) of the last 24 hours, by number of distinct authors."

    @admin.display(description="hashtag")
    def tag(self, row: TrendingHashtag) -> SafeString:
        if '"' in row.hashtag:
            return isolated(row.hashtag, 100)
        return search_link(f't:"{row.hashtag}"', text(row.hashtag, 100))

    @admin.display(description="authors, previous day", ordering="authors_before")
    def previous_authors(self, row: TrendingHashtag) -> int:
        return row.authors_before


@admin.register(ActiveAuthor)
class ActiveAuthorAdmin(ViewAdmin[ActiveAuthor]):
    """By events of today and the previous six days."""

    view_name = "active_authors"
    list_display = ("rank", "author", "events", "active_days")
    empty_help = "Authors of the last seven days (UTC), by number of events."

    @admin.display(description="author")
    def author(self, row: Any) -> SafeString:
        return author_link(row.pubkey, row.name)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Django: the list's class."""
        return NamedChangeList

    @admin.display(description="active days", ordering="days")
    def active_days(self, row: ActiveAuthor) -> int:
        return row.days


@admin.register(ReportedTarget)
class ReportedTargetAdmin(ViewAdmin[ReportedTarget]):
    """Targets reported in the last 30 days."""

    view_name = "reported_targets"
    list_display = ("target_link", "target_type", "reporters", "reports", "reason_counts", "first", "last")
    list_filter = ("target_type",)
    empty_help = "Public keys, events and files that were reported (kind 1984) in the last 30 days."

    @admin.display(description="target")
    def target_link(self, row: ReportedTarget) -> SafeString:
        if row.target_type == "event":
            return event_link(row.target, short(row.target))
        if row.target_type == "pubkey":
            return author_link(row.target)
        return format_html('<span class="relay-hex" title="{}">{}</span>', row.target, short(row.target))

    @admin.display(description="reasons")
    def reason_counts(self, row: ReportedTarget) -> SafeString:
        return isolated(", ".join(f"{reason or 'none'} {number}" for reason, number in row.reasons.items()), 200)

    @admin.display(description="first report (UTC)", ordering="first_at")
    def first(self, row: ReportedTarget) -> str:
        return format_time(row.first_at)

    @admin.display(description="last report (UTC)", ordering="last_at")
    def last(self, row: ReportedTarget) -> str:
        return format_time(row.last_at)


@admin.register(StoreGrowth)
class StoreGrowthAdmin(ViewAdmin[StoreGrowth]):
    """Events added and removed in each hour."""

    view_name = "store_growth"
    list_before_template = "admin/analytics/growth.html"
    empty_help = "One row for each hour (UTC) in which events were added or removed."
    list_display = ("start", "stored", "change", "json_added", "disk_size")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Django: with the charts in the context, for operators who may see the history."""
        charts = [chart_named(name) for name in ("store", "size")]
        return super().changelist_view(
            request,
            {**(extra_context or {}), "charts": charts, "periods": PERIODS.values(), "has_history": may_see(request)},
        )

    @admin.display(description="hour (UTC)", ordering="hour")
    def start(self, row: StoreGrowth) -> str:
        return format_time(row.hour)

    @admin.display(description="events stored")
    def stored(self, row: StoreGrowth) -> str:
        return count(row.events)

    @admin.display(description="added, removed")
    def change(self, row: StoreGrowth) -> str:
        return f"{signed(row.added)}, {signed(-row.removed)}"

    @admin.display(description="JSON added")
    def json_added(self, row: StoreGrowth) -> str:
        return size(row.bytes_added)

    @admin.display(description="tables and indexes")
    def disk_size(self, row: StoreGrowth) -> str:
        return size(row.store_bytes)
