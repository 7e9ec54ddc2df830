"""The admin's side bar, and the names of all lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst


@dataclass(frozen=True, slots=True)
class Entry:
    """A list of the admin: model label, names of its rows (one, many), and a symbol of Material Symbols."""

    model: str
    singular: str
    plural: str
    icon: str

    def link(self) -> str:
        """The URL of the list."""
        return reverse(f"admin:{self.model.replace('.', '_')}_changelist")


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is no list: its title, a symbol, the name of its URL and the permission to see it."""

    title: str
    icon: str
    url: str
    permission: str


PAGES = (
    Page("Dashboard", "monitoring", "admin:index", ""),
    Page("Region map", "map", "regions:map", "replication.view_peerlane"),
)

SECTIONS: Sequence[tuple[str, Sequence[Entry]]] = (
    (
        "Store",
        (
            Entry("relay.event", "event", "events", "forum"),
            Entry("relay.tag", "tag", "tags", "sell"),
            Entry("relay.change", "change", "changes", "format_list_numbered"),
            Entry("relay.vanishrequest", "vanish request", "vanish requests", "visibility_off"),
        ),
    ),
    (
        "Insight",
        (
            Entry("analytics.popularevent", "popular event", "popular events", "local_fire_department"),
            Entry("analytics.trendinghashtag", "hashtag", "hashtags", "tag"),
            Entry("analytics.activeauthor", "active author", "active authors", "group"),
            Entry("analytics.reportedtarget", "report", "reports", "flag"),
            Entry("analytics.storegrowth", "hour", "store growth", "trending_up"),
        ),
    ),
    (
        "Moderation",
        (
            Entry("relay.report", "report", "report queue", "gavel"),
            Entry("relay.connection", "connection", "connections", "cable"),
            Entry("relay.bannedkey", "banned key", "banned keys", "person_off"),
            Entry("relay.removedevent", "removed event", "removed events", "delete"),
            Entry("relay.blockednetwork", "blocked address", "blocked addresses", "block"),
            Entry("relay.kindrule", "kind rule", "kind rules", "rule"),
            Entry("relay.retentionrule", "retention rule", "retention rules", "auto_delete"),
            Entry("relay.allowedkey", "allowed key", "allowed keys", "how_to_reg"),
        ),
    ),
    (
        "Regions",
        (
            Entry("replication.region", "region", "regions", "public"),
            Entry("replication.peerlane", "lane", "lanes", "sync_alt"),
            Entry("replication.deadletter", "dead letter", "dead letters", "unsubscribe"),
            Entry("replication.repair", "repair", "repairs", "healing"),
        ),
    ),
    (
        "Operation",
        (
            Entry("analytics.cache", "cache", "caches", "memory"),
            Entry("analytics.slowquery", "slow query", "slow queries", "speed"),
            Entry("analytics.storetable", "table", "database", "database"),
            Entry("django_celery_beat.periodictask", "job", "jobs", "schedule"),
            Entry("analytics.jobrun", "job run", "job runs", "checklist"),
            Entry("analytics.setting", "setting", "settings", "settings"),
        ),
    ),
    (
        "Access",
        (
            Entry("auth.user", "user", "users", "person"),
            Entry("auth.group", "group", "groups", "shield_person"),
            Entry("axes.accesslog", "sign-in", "sign-ins", "login"),
            Entry("axes.accessattempt", "failed sign-in", "failed sign-ins", "gpp_maybe"),
            Entry("admin.logentry", "action", "actions", "history"),
        ),
    ),
)

APP_NAMES = {
    "axes": "Access",
    "auth": "Access",
    "admin": "Access",
    "django_celery_beat": "Operation",
    "relay": "Store",
    "replication": "Regions",
}
"""App label -> its name, that of a section of the side bar."""


def name_models() -> None:
    """Give models and apps the names of the side bar, so that headings agree with it. Migrations do not change."""
    for _, entries in SECTIONS:
        for entry in entries:
            options = apps.get_model(entry.model)._meta
            options.verbose_name, options.verbose_name_plural = entry.singular, entry.plural
    for label, name in APP_NAMES.items():
        apps.get_app_config(label).verbose_name = name


def section_of(url_name: str | None) -> str:
    """The title of the section that a page of the admin belongs to, by the name of its URL; "" for none."""
    for title, entries in SECTIONS:
        if any((url_name or "").startswith(f"{entry.model.replace('.', '_')}_") for entry in entries):
            return title
    return ""


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    """django-unfold's SIDEBAR navigation, without the lists that the operator may not see."""
    allowed = {
        model._meta.label_lower: model_admin
        for model, model_admin in admin.site._registry.items()
        if model_admin.has_module_permission(request) and model_admin.has_view_permission(request)
    }
    pages = [page for page in PAGES if not page.permission or request.user.has_perm(page.permission)]
    first: dict[str, Any] = {
        "title": "",
        "items": [{"title": page.title, "icon": page.icon, "link": reverse(page.url)} for page in pages],
    }
    found = [first]
    for title, entries in SECTIONS:
        items = [
            {"title": capfirst(entry.plural), "icon": entry.icon, "link": entry.link()}
            for entry in entries
            if entry.model in allowed
        ]
        if items:
            found.append({"title": title, "separator": True, "items": items})
    return found
