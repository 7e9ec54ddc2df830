"""The log of job runs: outcome, duration, rows and error."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_celery_beat.models import PeriodicTask

from analytics.dashboard.number_format import count, latency
from analytics.models import JobRun
from relay.admin.formatting import isolated
from relay.admin.readonly import ReadOnlyAdmin


class JobFilter(admin.SimpleListFilter):
    """Runs of one job. The choices come from the schedule, not from the log."""

    title = "job"
    parameter_name = "job"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Django: the choices."""
        return [(name, name) for name in PeriodicTask.objects.order_by("name").values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Django: the filtered rows."""
        return queryset.filter(job=self.value()) if self.value() else queryset


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin[JobRun]):
    """Newest first, read-only."""

    list_display = ("started", "job", "outcome", "took", "counted", "failure", "instance")
    list_display_links = None
    list_per_page = 25
    empty_help = (
        "Each run of a job is listed here with its outcome. The first one follows within a minute of the start."
    )
    list_filter = (JobFilter, "outcome")

    @admin.display(description="started (UTC)", ordering="started_at")
    def started(self, run: JobRun) -> str:
        return f"{run.started_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="duration", ordering="duration_seconds")
    def took(self, run: JobRun) -> str:
        return latency(run.duration_seconds)

    @admin.display(description="rows")
    def counted(self, run: JobRun) -> str:
        return count(run.rows)

    @admin.display(description="error")
    def failure(self, run: JobRun) -> SafeString:
        return isolated(run.error, 300)
