"""The page of the effective settings, read-only: they are changed in the environment."""

from itertools import groupby

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from analytics.effective_settings import DOCUMENT, effective_settings
from analytics.page_models import Setting
from relay.admin.readonly import ReadOnlyAdmin

SOURCE = "https://github.com/relay-platform/relay/blob/main"
"""Where the documents are."""


@admin.register(Setting)
class SettingAdmin(ReadOnlyAdmin[Setting]):
    """A page instead of a list."""

    class Media:
        css = {"all": ["analytics/dashboard.css"]}  # noqa: RUF012

    def get_urls(self) -> list[URLPattern]:
        """Django: the page."""
        return [path("", self.admin_site.admin_view(self.page), name="analytics_setting_changelist")]

    def page(self, request: HttpRequest) -> HttpResponse:
        """200 with the settings of the worker that answers. Raises PermissionDenied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = sorted(effective_settings(), key=lambda one: one.section == "Other")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": "Settings",
            "sections": [(title, list(rows)) for title, rows in groupby(found, key=lambda one: one.section)],
            "instance": settings.RELAY_INSTANCE,
            "document": f"{SOURCE}/{DOCUMENT}",
        }
        return TemplateResponse(request, "admin/analytics/settings.html", context)
