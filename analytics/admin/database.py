"""The pages of slow queries, and of tables and indexes."""

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from analytics.admin.settings_page import SOURCE
from analytics.dashboard.number_format import count, latency, percent, size
from analytics.dashboard.sources import current_snapshot
from analytics.page_models import SlowQuery, StoreTable
from relay.admin.formatting import format_time
from relay.admin.readonly import ReadOnlyAdmin
from relay.conf import config
from relay.services.worker_figures import HistogramFigures
from relay.storage.slow_queries import BOUNDS_MS, MOST_SHOWN, SlowShape
from relay.storage.table_figures import Index, StoreFigures, Table, store_figures

DOCUMENT = f"{SOURCE}/docs/operations/database.md"
NEVER = "never"


class FiguresAdmin(ReadOnlyAdmin[Model]):
    """A page of figures instead of a list."""

    template: ClassVar[str]
    title: ClassVar[str]

    class Media:
        css = {"all": ["analytics/dashboard.css"]}  # noqa: RUF012

    def get_urls(self) -> list[URLPattern]:
        """Django: the page."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
        return [path("", self.admin_site.admin_view(self.page), name=name)]

    def page(self, request: HttpRequest) -> HttpResponse:
        """200 with the figures of now. Raises PermissionDenied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": self.title,
            "document": DOCUMENT,
            **self.figures(),
        }
        return TemplateResponse(request, self.template, context)

    def figures(self) -> dict[str, Any]:
        """What the template shows."""
        raise NotImplementedError


@admin.register(SlowQuery)
class SlowQueryAdmin(FiguresAdmin):
    """The shapes that took PostgreSQL the longest, over all workers."""

    template = "admin/analytics/slow_queries.html"
    title = "Slow queries"

    def figures(self) -> dict[str, Any]:
        """Rows of the table."""
        snapshot = current_snapshot()
        return {
            "snapshot": snapshot,
            "rows": [slow_row(shape) for shape in snapshot.total.slow_queries],
            "threshold": latency(config().slow_query_seconds),
            "most": MOST_SHOWN,
        }


def slow_row(shape: SlowShape) -> dict[str, Any]:
    """A row of the table: formatted figures of a shape."""
    durations = HistogramFigures(list(BOUNDS_MS), shape.counts, shape.total_ms)
    is_known = len(shape.counts) == len(BOUNDS_MS) + 1  # another version may have other bounds
    cells = (
        count(shape.slow),
        *[_milliseconds(durations.quantile(share) if is_known else None) for share in (0.5, 0.95)],
        _milliseconds(shape.longest_ms if shape.slow else None),
        latency(shape.total_ms / 1_000),
        count(shape.stopped),
        format_time(int(shape.seen_at)),
    )
    return {"shape": shape.shape, "cells": cells}


def _milliseconds(ms: float | None) -> str:
    return latency(None if ms is None else ms / 1_000)


@admin.register(StoreTable)
class StoreTableAdmin(FiguresAdmin):
    """Sizes, uses, vacuums and free space of tables and indexes."""

    template = "admin/analytics/database.html"
    title = "Database"

    def figures(self) -> dict[str, Any]:
        """Rows of both tables; `error` if the database did not answer in time."""
        try:
            found = store_figures()
        except DatabaseError as error:
            return {"error": str(error).strip()}
        return database_context(found)


def database_context(found: StoreFigures) -> dict[str, Any]:
    """The context of the page."""
    return {
        "tables": [table_row(table) for table in found.tables],
        "indexes": [index_row(index) for index in found.indexes],
        "size": size(found.bytes),
        "memory": size(found.shared_buffers),
        "since": _time(found.since) if found.since else "the database was made",
        "unused": [index.name for index in found.unused if index.table.startswith("relay_")],
        "broken": [index.name for index in found.indexes if not index.is_valid],
    }


def table_row(table: Table) -> dict[str, Any]:
    """A row: formatted figures of a table. `level`: "bad" if twice as many rows are dead as start a vacuum."""
    cells = (
        count(table.rows),
        count(table.dead),
        count(table.dead_before_vacuum),
        size(table.bytes + table.toast_bytes),
        size(table.index_bytes),
        percent(table.free_percent),
        percent(100 * table.hot_updates / table.updates if table.updates else None),
        _time(table.vacuumed_at),
        _time(table.analyzed_at),
    )
    name = f"{table.name} ({table.partitions} partitions)" if table.partitions > 1 else table.name
    return {"name": name, "cells": cells, "level": "bad" if table.dead > 2 * table.dead_before_vacuum else ""}


def index_row(index: Index) -> dict[str, Any]:
    """A row: formatted figures of an index, and the question that it serves."""
    used = _time(index.used_at) if index.used_at or not index.scans else "–"
    cells = (size(index.bytes), count(index.entries), percent(index.free_percent), count(index.scans), used)
    return {"name": index.name, "cells": cells, "question": index.question, "level": "" if index.is_valid else "bad"}


def _time(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else NEVER
