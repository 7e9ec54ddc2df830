"""The connections of all workers, and how to end one."""

import time
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from relay.admin.formatting import author_link, format_time, isolated
from relay.admin.moderate import may, task_link
from relay.admin.readonly import RecordAdmin
from relay.conf import config
from relay.models import Connection
from relay.services.connection_keys import MOST
from relay.services.connection_list import connections_now
from relay.services.connections import ConnectionFigures
from relay.services.moderation import CannotModerate, public_key

SHOWN_KEYS = 3


@admin.register(Connection)
class ConnectionAdmin(RecordAdmin[Connection]):
    """A page instead of a list."""

    empty_help = "The open WebSockets of all workers are listed here."

    def get_urls(self) -> list[URLPattern]:
        """Django: the page."""
        return [path("", self.admin_site.admin_view(self.page), name="relay_connection_changelist")]

    def page(self, request: HttpRequest) -> HttpResponse:
        """200 with the connections that have sent the most bytes. `?q=`: an address or a public key."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = request.GET.get("q", "").strip()
        found, is_whole = connections_now(config().cache_url, _search(asked))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "empty_help": self.empty_help,
            "title": "Connections",
            "asked": asked,
            "rows": [_row(request, one) for one in found],
            "is_whole": is_whole,
            "most": MOST,
        }
        return TemplateResponse(request, "admin/relay/connections.html", context)


def _search(asked: str) -> str:
    """A key in hex, or the beginning of an address."""
    try:
        return public_key(asked)
    except CannotModerate:
        return asked


def _row(request: HttpRequest, one: ConnectionFigures) -> dict[str, Any]:
    return {
        "address": isolated(one.address, 60),
        "keys": format_html_join(" ", "{}", ((author_link(key),) for key in one.keys[:SHOWN_KEYS])),
        "more_keys": max(0, len(one.keys) - SHOWN_KEYS),
        "since": format_time(int(one.since)),
        "minutes": int((time.time() - one.since) / 60),
        "messages": one.messages,
        "bytes": one.bytes_in,
        "subscriptions": one.subscriptions,
        "tasks": _tasks(request, one),
    }


def _tasks(request: HttpRequest, one: ConnectionFigures) -> SafeString:
    back = reverse("admin:relay_connection_changelist")
    wanted = [("end-connection", "End", one.name), ("block-address", "Block address", one.address)]
    wanted += [("ban-key", "Ban key", key) for key in one.keys[:1]]
    links = [(task_link(*each, back),) for each in wanted if may(request, each[0])]
    return format_html_join(" ", "{}", links)
