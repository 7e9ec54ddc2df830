"""The dashboard, and the two JSON endpoints of its script."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import wraps
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from analytics.dashboard import charts, sources
from analytics.dashboard.cards import CARDS
from analytics.dashboard.live import BAD, Live, Row, live
from analytics.dashboard.number_format import count, duration, latency
from analytics.dashboard.sources import LastRun
from analytics.dashboard.summary import popular, top_kinds
from analytics.models import JobRun

PERMISSION = "analytics.view_minute"
"""Permission to see the dashboard; other operators see Django's index."""


def may_see(request: HttpRequest) -> bool:
    """True if the operator of `request` may see the dashboard."""
    return admin.site.has_permission(request) and request.user.has_perm(PERMISSION)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """django-unfold's DASHBOARD_CALLBACK: the context of admin/index.html."""
    if not may_see(request):
        return context
    now = live_now()
    cards = [
        {"figure": card, "value": now.figures.get(card.name, "–"), "note": now.figures.get(card.note, "")}
        for card in CARDS
    ]
    return context | {
        "title": "Dashboard",
        "dashboard": {
            "live": now,
            "level": now.level,
            "cards": cards,
            "tables": now.tables,
            "charts": charts.CHARTS,
            "periods": charts.PERIODS.values(),
            "popular": popular(10),
            "kinds": top_kinds(10),
        },
    }


def live_now() -> Live:
    """The live figures and tables, with the last run of each job."""
    now = live(sources.current_snapshot(), sources.read(), time.time())
    now.tables["jobs"] = job_rows(sources.last_runs(), timezone.now())
    return now


def job_rows(last_runs: Iterable[LastRun], now: datetime) -> list[Row]:
    """A row for each scheduled job: name, outcome of its last run, its age, duration and rows."""
    return [_job_row(last.job, last.run, now) for last in last_runs]


def _job_row(job: str, run: JobRun | None, now: datetime) -> Row:
    if run is None:
        return Row(job, [job, "never", "", "", ""])
    ago = f"{duration((now - run.started_at).total_seconds())} ago"
    cells = [job, run.outcome, ago, latency(run.duration_seconds), count(run.rows)]
    return Row(job, cells, BAD if run.outcome in (run.Outcome.FAILED, run.Outcome.KILLED) else "")


View = Callable[[HttpRequest], HttpResponse]


def operators_only(view: View) -> View:
    """Decorator: 403 as JSON without the permission, because a script cannot follow a redirect to the sign-in."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        response = view(request) if may_see(request) else JsonResponse({"error": "sign in"}, status=403)
        response["Cache-Control"] = "no-store"
        return response

    return guarded


@operators_only
def figures(_request: HttpRequest) -> HttpResponse:
    """200 with `analytics.dashboard.live.Live` as JSON."""
    return JsonResponse(live_now().as_json())


@operators_only
def history(request: HttpRequest) -> HttpResponse:
    """200 with the series of `?period=` hour, day or month; 404 for another."""
    period = charts.PERIODS.get(request.GET.get("period", "hour"))
    if period is None:
        return JsonResponse({"error": "no such period"}, status=404)
    return JsonResponse(charts.series(period, timezone.now()))
