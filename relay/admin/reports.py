"""The queue of reports (kind 1984): what is reported, by whom, and what to do about it."""

import json
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from relay.admin.formatting import (
    author_link,
    event_link,
    format_time,
    isolated,
    kind_name,
    one_line,
    search_link,
    short,
)
from relay.admin.moderate import may, task_link
from relay.admin.readonly import ReadOnlyAdmin
from relay.admin.responses import author_names
from relay.models import Report
from relay.policies.lists import ListName
from relay.protocol.errors import Failed
from relay.storage.report_queries import LOOKED_AT, Reported, open_reports, with_events

SHOWN = 50
EXCERPT_CHARACTERS = 200


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin[Report]):
    """A page instead of a list."""

    empty_help = "Reports (kind 1984) of clients are listed here until an operator closes them."

    def get_urls(self) -> list[URLPattern]:
        """Django: the page."""
        return [path("", self.admin_site.admin_view(self.page), name="relay_report_changelist")]

    def page(self, request: HttpRequest) -> HttpResponse:
        """200 with the open reports. Raises PermissionDenied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        problem, found, is_all = "", list[Reported](), True
        try:
            found, is_all = open_reports(ListName.CLOSED_REPORT)
        except Failed:
            problem = "Reading the reports took too long."
        shown = found[:SHOWN]
        with_events(shown)
        names = author_names({one.author or one.target for one in shown if one.author or not one.is_event})
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "empty_help": self.empty_help,
            "title": "Report queue",
            "rows": [_row(request, one, names) for one in shown],
            "problem": problem,
            "total": len(found),
            "is_all": is_all,
            "looked_at": LOOKED_AT,
        }
        return TemplateResponse(request, "admin/relay/reports.html", context)


def _row(request: HttpRequest, one: Reported, names: dict[str, str]) -> dict[str, Any]:
    reasons = ", ".join(f"{reason or 'none'} {number}" for reason, number in one.reasons.most_common(5))
    return {
        "target": _target(one, names),
        "reporters": len(one.reporters),
        "reasons": isolated(reasons, 200),
        "newest": format_time(one.newest),
        "text": isolated(one_line(one.text, EXCERPT_CHARACTERS), EXCERPT_CHARACTERS),
        "all": search_link(
            f"{'e' if one.is_event else 'p'}:{one.target} kind:1984", f"{one.count} report{'s' * (one.count != 1)}"
        ),
        "tasks": _tasks(request, one),
    }


def _target(one: Reported, names: dict[str, str]) -> SafeString:
    if not one.is_event:
        return author_link(one.target, names.get(one.target, ""))
    author = author_link(one.author, names.get(one.author, "")) if one.author else SafeString("")
    if not one.json:
        return format_html(
            '<span class="relay-hex" title="{}">{}</span> not stored {}', one.target, short(one.target), author
        )
    event = json.loads(one.json)
    excerpt = isolated(one_line(event["content"], EXCERPT_CHARACTERS), EXCERPT_CHARACTERS)
    return format_html(
        "{} {} {}<br>{}", event_link(one.target, short(one.target)), kind_name(event["kind"]), author, excerpt
    )


def _tasks(request: HttpRequest, one: Reported) -> SafeString:
    back = reverse("admin:relay_report_changelist")
    wanted = []
    if one.is_event and one.json:
        wanted.append(("remove-event", "Remove event", one.target))
    if one.json or not one.is_event:  # of an event that is not stored a report may name any key as the author
        wanted.append(("ban-key", "Ban author", one.author if one.is_event else one.target))
    wanted.append(("close-report", "Close", one.target))
    links = [(task_link(*each, back),) for each in wanted if may(request, each[0])]
    return format_html_join(" ", "{}", links)
