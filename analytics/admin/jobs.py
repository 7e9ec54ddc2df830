"""Scheduled jobs: django-celery-beat's periodic tasks, with the last run of each."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)
from kombu.exceptions import OperationalError
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from analytics.dashboard.number_format import duration, latency
from analytics.models import JobRun
from analytics.schedule import send_entry
from relay.admin.base import ModelAdmin
from relay.admin.formatting import isolated

if TYPE_CHECKING:
    from django.forms import ModelForm, Select

    _Form = ModelForm[PeriodicTask]
    _Select = Select
else:
    _Form = PeriodicTaskForm

    class _Select(UnfoldAdminSelectWidget, TaskSelectWidget):
        pass


for _model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(_model)


class JobForm(_Form):
    """django-celery-beat's form with unfold's widgets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["regtask"].widget = _Select()
        self.fields["task"].widget = UnfoldAdminTextInputWidget()


@admin.register(PeriodicTask)
class JobAdmin(ModelAdmin[PeriodicTask]):
    """Jobs by name. A job that an operator disabled stays disabled in new versions."""

    form = JobForm
    list_display = ("name", "enabled", "schedule", "outcome", "started", "took", "failure")
    list_filter = ("enabled",)
    search_fields = ("name", "task")
    search_help_text = "Name or task"
    empty_help = "The first start installs the scheduled jobs."
    ordering = ("name",)
    list_per_page = 100
    list_fullwidth = True
    actions = ("run_selected", "enable", "disable")
    fieldsets = (
        (None, {"fields": ("name", "regtask", "task", "enabled", "description")}),
        ("Schedule", {"fields": ("interval", "crontab", "start_time", "one_off", "last_run_at")}),
        ("Arguments", {"fields": ("args", "kwargs"), "classes": ("collapse",)}),
        ("Sending", {"fields": ("expires", "expire_seconds", "queue", "priority"), "classes": ("collapse",)}),
    )
    readonly_fields = ("last_run_at",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[PeriodicTask, PeriodicTask]":
        """Django: with the last run's columns as `run_outcome`, `run_started_at`, ..."""
        last = JobRun.objects.filter(job=OuterRef("name")).order_by("-started_at", "-id")
        found = {
            name: Subquery(last.values(name)[:1]) for name in ("outcome", "started_at", "duration_seconds", "error")
        }
        entries = super().get_queryset(request).select_related("interval", "crontab", "solar", "clocked")
        annotated: QuerySet[PeriodicTask, PeriodicTask] = entries.annotate(
            **{f"run_{name}": value for name, value in found.items()}
        )
        return annotated

    def has_run_permission(self, request: HttpRequest) -> bool:
        """True for operators who may change jobs."""
        return self.has_change_permission(request)

    @admin.action(description="Run now", permissions=["run"])
    def run_selected(self, request: HttpRequest, entries: "QuerySet[PeriodicTask, PeriodicTask]") -> None:
        """Send each job to the broker once."""
        sent = 0
        try:
            for entry in entries:
                send_entry(entry)
                self.log_change(request, entry, "Run requested.")
                sent += 1
        except OperationalError:
            messages.error(request, f"The Celery broker does not answer: {sent} of {len(entries)} runs requested.")
        else:
            messages.success(request, f"{sent} run{'' if sent == 1 else 's'} requested: see Job runs for the outcome.")

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, entries: "QuerySet[PeriodicTask, PeriodicTask]") -> None:
        """Let beat run the jobs."""
        self._set(request, entries, True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, entries: "QuerySet[PeriodicTask, PeriodicTask]") -> None:
        """Keep beat from running the jobs."""
        self._set(request, entries, False)

    def _set(self, request: HttpRequest, entries: "QuerySet[PeriodicTask, PeriodicTask]", enabled: bool) -> None:
        changed = list(entries.exclude(enabled=enabled))
        PeriodicTask.objects.filter(pk__in=[entry.pk for entry in changed]).update(enabled=enabled)
        PeriodicTasks.update_changed()
        for entry in changed:
            self.log_change(request, entry, "Enabled." if enabled else "Disabled.")
        messages.success(request, f"{len(changed)} {'enabled' if enabled else 'disabled'}.")

    @admin.display(description="schedule")
    def schedule(self, entry: PeriodicTask) -> str:
        interval = entry.interval
        if interval is None:
            return str(entry.scheduler)
        return f"every {duration(interval.schedule.run_every.total_seconds())}"

    @admin.display(description="last run")
    def outcome(self, entry: Any) -> SafeString | str:
        if entry.run_outcome is None:
            return "never"
        url = f"{reverse('admin:analytics_jobrun_changelist')}?{urlencode({'job': entry.name})}"
        return format_html('<a class="relay-link" href="{}">{}</a>', url, entry.run_outcome)

    @admin.display(description="started")
    def started(self, entry: Any) -> str:
        if entry.run_started_at is None:
            return ""
        return f"{duration((timezone.now() - entry.run_started_at).total_seconds())} ago"

    @admin.display(description="duration")
    def took(self, entry: Any) -> str:
        return latency(entry.run_duration_seconds) if entry.run_outcome else ""

    @admin.display(description="error")
    def failure(self, entry: Any) -> SafeString:
        return isolated(entry.run_error or "", 200)


@admin.register(IntervalSchedule)
class IntervalAdmin(ModelAdmin[IntervalSchedule]):
    """Intervals of jobs."""

    list_display = ("__str__", "every", "period")


@admin.register(CrontabSchedule)
class CrontabAdmin(ModelAdmin[CrontabSchedule]):
    """Crontab schedules of jobs (UTC)."""

    list_display = ("__str__", "human_readable")
    fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone")
