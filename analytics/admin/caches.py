"""The page of the caches: entries, hits and misses, counters of the barrier, and clearing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from analytics.admin.cache_counts import coordination, count_tables
from analytics.dashboard.charts import PERIODS, chart_named
from analytics.dashboard.number_format import count, percent, size
from analytics.dashboard.sources import current_snapshot
from analytics.page_models import Cache
from relay.admin.action_log import log_action
from relay.admin.readonly import RecordAdmin
from relay.caching.registry import CacheFigures, Layer
from relay.conf import config
from relay.services import caches
from relay.services.cache_server import cache_server_now
from relay.services.figures import ClusterSnapshot


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table: a cache of one worker (`where`) or of all. `cells`: formatted figures."""

    name: str
    layer: str
    where: str
    cells: Sequence[str]

    @property
    def can_be_cleared(self) -> bool:
        """True if operators can clear this cache alone."""
        return self.layer in caches.LAYERS and self.name in caches.NAMES


def totals(snapshot: ClusterSnapshot) -> list[Line]:
    """Each cache, summed over all workers, by layer and name."""
    return [_line(cache, "") for cache in snapshot.total.caches]


def by_worker(snapshot: ClusterSnapshot) -> list[Line]:
    """Each cache of each worker."""
    return [
        _line(cache, f"{worker.instance}, worker {worker.worker}")
        for worker in snapshot.workers
        for cache in worker.caches
    ]


def _line(cache: CacheFigures, where: str) -> Line:
    asked = cache.hits + cache.misses
    evictions = ", ".join(f"{reason} {count(number)}" for reason, number in sorted(cache.evictions.items()) if number)
    is_counted = cache.layer == Layer.L1  # other instances write to L2 as well, and its keys expire
    cells = (
        count(cache.size if is_counted else None),
        size(cache.bytes if is_counted else None),
        count(cache.hits),
        count(cache.misses),
        percent(100 * cache.hits / asked if asked else None),
        evictions or "none",
        count(cache.errors),
    )
    return Line(cache.name, cache.layer, where, cells)


@admin.register(Cache)
class CacheAdmin(RecordAdmin[Cache]):
    """A page instead of a list."""

    class Media:
        css = {"all": ["analytics/dashboard.css"]}  # noqa: RUF012

    def get_urls(self) -> list[URLPattern]:
        """Django: the page and the form to clear."""
        view = self.admin_site.admin_view
        return [
            path("", view(self.page), name="analytics_cache_changelist"),
            path("clear/", view(self.clear), name="analytics_cache_clear"),
        ]

    def page(self, request: HttpRequest) -> HttpResponse:
        """200 with the figures of the last second. Raises PermissionDenied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        snapshot = current_snapshot()
        context = {
            "title": "Caches",
            "snapshot": snapshot,
            "totals": totals(snapshot),
            "by_worker": by_worker(snapshot),
            "tables": count_tables(snapshot.total),
            "server": _server_text(),
            "coordination": coordination(snapshot),
            "layers": caches.LAYERS,
            "may_clear": self.has_delete_permission(request),
            "chart": chart_named("hits"),
            "periods": PERIODS.values(),
        }
        return TemplateResponse(request, "admin/analytics/caches.html", self._context(request) | context)

    def clear(self, request: HttpRequest) -> HttpResponse:
        """GET: ask to clear the cache `?name=` in `?layer=`; POST: clear it. Raises PermissionDenied, Http404."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        given = request.POST if request.method == "POST" else request.GET
        name, layer = given.get("name") or None, given.get("layer") or None
        if layer not in (None, *caches.LAYERS) or name not in (None, *caches.NAMES):
            raise Http404("There is no such cache.")
        if request.method == "POST":
            return self._cleared(request, name, layer)
        context = {"title": f"Clear {_what(name, layer)}?", "what": _what(name, layer), "name": name, "layer": layer}
        return TemplateResponse(request, "admin/analytics/clear_cache.html", self._context(request) | context)

    def _cleared(self, request: HttpRequest, name: str | None, layer: str | None) -> HttpResponse:
        what = _what(name, layer)
        try:
            deleted = caches.clear(name, layer)
        except caches.CachesUnavailable as reason:
            messages.error(request, f"Nothing was cleared: {reason}.")
        else:
            result = _result(layer, deleted)
            log_action(request, what, f"Cleared: {result}.")
            messages.success(request, f"Cleared {what}: {result}.")
        return HttpResponseRedirect(reverse("admin:analytics_cache_changelist"))

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        """The context of every page of the admin."""
        return {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}


def _server_text() -> str:
    """Keys and memory of the server of L2 as a sentence; "" if it does not answer."""
    server = cache_server_now(config().cache_url)
    if server is None:
        return ""
    limit = f" of {size(server.limit_bytes)} (maxmemory)" if server.limit_bytes else ", no maxmemory set"
    return f"{count(server.keys)} keys, {size(server.memory_bytes)}{limit}"


def _result(layer: str | None, deleted: int) -> str:
    parts = [] if layer == Layer.L1 else [f"{count(deleted)} entries of L2 deleted"]
    parts += [] if layer == Layer.L2 else ["each worker clears its L1 within two seconds"]
    return ", ".join(parts)


def _what(name: str | None, layer: str | None) -> str:
    caches = "all caches" if name is None else f"the cache “{name[:100]}”"
    return f"{caches} of {layer}" if layer else caches
