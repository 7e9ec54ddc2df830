"""Base classes of the lists of materialized views: read-only, with time of refresh and a refresh button."""

from typing import Any, TypeVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from analytics.dashboard.number_format import duration, latency
from analytics.models import JobRun
from analytics.registry import View, view_named
from analytics.schedule import send
from relay.admin.action_log import log_action
from relay.admin.paging import AuthorsChangeList, RecordChangeList
from relay.admin.readonly import ReadOnlyAdmin

M = TypeVar("M", bound=Model)


class NamedChangeList(AuthorsChangeList, RecordChangeList):
    """A list of records with the names of their authors."""


class ViewAdmin(ReadOnlyAdmin[M]):
    """A list of the materialized view `view_name` (analytics.registry)."""

    view_name: str
    list_per_page = 25
    list_display_links = None
    list_before_template = "admin/analytics/refreshed.html"

    class Media:
        css = {"all": ["analytics/dashboard.css"]}  # noqa: RUF012

    def has_refresh_permission(self, request: HttpRequest) -> bool:
        """True for operators who may change jobs."""
        return request.user.has_perm("django_celery_beat.change_periodictask")

    def get_urls(self) -> list[URLPattern]:
        """Django: with the URL of the refresh button."""
        own = path("refresh/", self.admin_site.admin_view(self.refresh), name=f"refresh_{self.view_name}")
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Django: with the last refresh and the job in the context."""
        run = JobRun.objects.filter(job=self._view.job).exclude(outcome=JobRun.Outcome.SKIPPED).first()
        entry = PeriodicTask.objects.filter(name=self._view.job).select_related("interval").first()
        refreshed = {
            "run": run,
            "took": latency(run.duration_seconds) if run and run.duration_seconds is not None else "",
            "schedule": _schedule_text(entry, run),
            "url": reverse(f"admin:refresh_{self.view_name}") if self.has_refresh_permission(request) else "",
        }
        return super().changelist_view(request, {**(extra_context or {}), "refreshed": refreshed})

    def refresh(self, request: HttpRequest) -> HttpResponse:
        """POST: request a refresh and redirect to the list; 405 for other methods. Raises PermissionDenied."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_refresh_permission(request):
            raise PermissionDenied
        try:
            send(self._view.job)
        except OperationalError:
            messages.error(request, "The Celery broker does not answer: no refresh requested.")
        else:
            log_action(request, self._view.title, "Refresh requested.")
            messages.success(request, "Refresh requested: reload this list in a moment.")
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))

    @property
    def _view(self) -> View:
        return view_named(self.view_name)


def _schedule_text(entry: PeriodicTask | None, run: JobRun | None) -> str:
    """When the view is refreshed, and when next, as sentences; "" without an entry in the schedule."""
    if entry is None:
        return ""
    if not entry.enabled:
        return "Its job is disabled."
    if entry.interval is None:
        return f"Refreshed {entry.scheduler}."
    every = entry.interval.schedule.run_every
    if run is None:
        return f"The first refresh follows within {duration(every.total_seconds())} of the first start."
    return f"Refreshed every {duration(every.total_seconds())}; next at {run.started_at + every:%H:%M} UTC."
