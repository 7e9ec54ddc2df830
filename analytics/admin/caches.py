"""Caches: what each holds, how often it had the answer, what is counted around them, and a way to empty them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from analytics.admin.cache_counts import standing, told
from analytics.admin.cache_model import Cache
from analytics.dashboard.charts import CHARTS, PERIODS
from analytics.dashboard.number_format import count, percent, size
from analytics.dashboard.reading import board_now
from relay.admin.action_log import log_action
from relay.admin.base import ModelAdmin
from relay.caching.registry import CacheFigures, Layer
from relay.services import caches
from relay.services.figures import Board


@dataclass(frozen=True, slots=True)
class Line:
    """A cache of one worker, or of all of them together. All texts but `name` and `layer`."""

    name: str
    layer: str
    where: str
    cells: Sequence[str]

    @property
    def can_be_cleared(self) -> bool:
        return self.layer in caches.LAYERS and self.name in caches.NAMES


def together(board: Board) -> list[Line]:
    """Every cache over all workers, by layer and name."""
    return [_line(cache, "") for cache in board.total.caches]


def apart(board: Board) -> list[Line]:
    """Every cache of every worker."""
    return [
        _line(cache, f"{worker.instance}, worker {worker.worker}")
        for worker in board.workers
        for cache in worker.caches
    ]


def _line(cache: CacheFigures, where: str) -> Line:
    asked = cache.hits + cache.misses
    evictions = ", ".join(f"{reason} {count(number)}" for reason, number in sorted(cache.evictions.items()) if number)
    cells = (
        count(cache.size),
        size(cache.bytes),
        count(cache.hits),
        count(cache.misses),
        percent(100 * cache.hits / asked if asked else None),
        evictions or "none",
        count(cache.errors),
    )
    return Line(cache.name, cache.layer, where, cells)


@admin.register(Cache)
class CacheAdmin(ModelAdmin[Cache]):
    """One page instead of a list: the figures are those of the last second."""

    class Media:
        css = {"all": ["relay/admin.css", "analytics/dashboard.css"]}  # noqa: RUF012

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("", view(self.page), name="analytics_cache_changelist"),
            path("clear/", view(self.clear), name="analytics_cache_clear"),
        ]

    def page(self, request: HttpRequest) -> HttpResponse:
        """What the caches of all workers hold and count."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        board = board_now()
        context = {
            "title": "Caches",
            "board": board,
            "together": together(board),
            "apart": apart(board),
            "tables": told(board.total),
            "standing": standing(board),
            "layers": caches.LAYERS,
            "may_clear": self.has_delete_permission(request),
            "chart": next(chart for chart in CHARTS if chart.name == "hits"),
            "periods": PERIODS.values(),
        }
        return TemplateResponse(request, "admin/analytics/caches.html", self._around(request) | context)

    def clear(self, request: HttpRequest) -> HttpResponse:
        """GET: ask whether the cache of `?name=` and `?layer=` is to be emptied; POST: empty it."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        given = request.POST if request.method == "POST" else request.GET
        name, layer = given.get("name") or None, given.get("layer") or None
        if layer not in (None, *caches.LAYERS) or name not in (None, *caches.NAMES):
            raise Http404("There is no such cache.")
        if request.method == "POST":
            return self._cleared(request, name, layer)
        context = {"title": f"Clear {_what(name, layer)}?", "what": _what(name, layer), "name": name, "layer": layer}
        return TemplateResponse(request, "admin/analytics/clear_cache.html", self._around(request) | context)

    def _cleared(self, request: HttpRequest, name: str | None, layer: str | None) -> HttpResponse:
        what = _what(name, layer)
        try:
            gone = caches.clear(name, layer)
        except caches.CachesAway as reason:
            messages.error(request, f"Nothing was cleared: {reason}.")
        else:
            came_of_it = _came_of_it(layer, gone)
            log_action(request, what, f"Cleared: {came_of_it}.")
            messages.success(request, f"Cleared {what}: {came_of_it}.")
        return HttpResponseRedirect(reverse("admin:analytics_cache_changelist"))

    def _around(self, request: HttpRequest) -> dict[str, Any]:
        """What every page of the admin needs."""
        return {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}


def _came_of_it(layer: str | None, gone: int) -> str:
    """What is known of a clearing: the entries of the shared layer, and that the workers follow."""
    parts = [] if layer == Layer.L1 else [f"{count(gone)} entries of L2"]
    parts += [] if layer == Layer.L2 else ["each worker empties its L1 within a second or two"]
    return ", ".join(parts)


def _what(name: str | None, layer: str | None) -> str:
    """A cache in words."""
    if name is None:
        return f"all caches of {layer}" if layer else "all caches"
    return f"the cache “{name[:100]}” of {layer}" if layer else f"the cache “{name[:100]}” of every layer"
