"""The admin's side bar: what an operator may see, by what it is for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse


@dataclass(frozen=True, slots=True)
class Entry:
    """A list of the admin: the model's label, what it is called here, and a symbol of Material Symbols."""

    model: str
    title: str
    icon: str

    def link(self) -> str:
        return reverse(f"admin:{self.model.replace('.', '_')}_changelist")


SECTIONS: Sequence[tuple[str, Sequence[Entry]]] = (
    (
        "Store",
        (
            Entry("relay.event", "Events", "forum"),
            Entry("relay.tag", "Tags", "sell"),
            Entry("relay.change", "Changes", "format_list_numbered"),
        ),
    ),
    (
        "Insight",
        (
            Entry("analytics.popularevent", "Popular events", "local_fire_department"),
            Entry("analytics.trendinghashtag", "Hashtags", "tag"),
            Entry("analytics.activeauthor", "Active authors", "group"),
            Entry("analytics.reportedtarget", "Reports", "flag"),
            Entry("analytics.storegrowth", "Growth", "trending_up"),
        ),
    ),
    (
        "Operation",
        (
            Entry("analytics.cache", "Caches", "memory"),
            Entry("django_celery_beat.periodictask", "Jobs", "schedule"),
            Entry("analytics.jobrun", "Runs", "checklist"),
        ),
    ),
    (
        "Access",
        (
            Entry("auth.user", "Users", "person"),
            Entry("auth.group", "Groups", "shield_person"),
            Entry("axes.accesslog", "Sign-ins", "login"),
            Entry("axes.accessattempt", "Failed sign-ins", "gpp_maybe"),
            Entry("admin.logentry", "Actions", "history"),
        ),
    ),
)


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    """What django-unfold shows at the side; lists that the operator may not see are left out."""
    allowed = {
        model._meta.label_lower: model_admin
        for model, model_admin in admin.site._registry.items()
        if model_admin.has_module_permission(request) and model_admin.has_view_permission(request)
    }
    first: dict[str, Any] = {
        "title": "",
        "items": [{"title": "Dashboard", "icon": "monitoring", "link": reverse("admin:index")}],
    }
    found = [first]
    for title, entries in SECTIONS:
        items = [
            {"title": entry.title, "icon": entry.icon, "link": entry.link()}
            for entry in entries
            if entry.model in allowed
        ]
        if items:
            found.append({"title": title, "separator": True, "items": items})
    return found
