"""Models of the materialized views (read-only) and of the tables that jobs write.

A view may contain events removed since its last refresh: contents are read from the relay's own tables.
"""

from typing import ClassVar

from django.db import models

from analytics import page_models  # noqa: F401  Django finds its models here
from relay.models import HexField, ReadOnlyModel


class ViewModel(ReadOnlyModel):
    """A row of a materialized view."""

    instead_of_save = instead_of_delete = "its view is refreshed by a job"

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class PopularEvent(ViewModel):
    """A note of the last seven days and its engagement (popularity.py).

    `reactions`, `reposts`, `replies`, `zaps`: distinct people each; `people`: distinct people in all. Unix seconds.
    """

    event_id = HexField(primary_key=True)
    rank = models.IntegerField()
    pubkey = HexField()
    kind = models.IntegerField()
    created_at = models.BigIntegerField()
    expires_at = models.BigIntegerField(null=True)
    people = models.IntegerField()
    reactions = models.IntegerField()
    reposts = models.IntegerField()
    replies = models.IntegerField()
    zaps = models.IntegerField()

    class Meta:
        managed = False
        db_table = "popular_events"
        ordering: ClassVar[list[str]] = ["rank"]


class TrendingHashtag(ViewModel):
    """A hashtag (lower case, without #) and its distinct authors in the last 24 hours and the 24 hours before."""

    hashtag = models.TextField(primary_key=True)
    rank = models.IntegerField()
    authors = models.IntegerField()
    authors_before = models.IntegerField()
    events = models.IntegerField()

    class Meta:
        managed = False
        db_table = "trending_hashtags"
        ordering: ClassVar[list[str]] = ["rank"]


class ActiveAuthor(ViewModel):
    """An author's events of today and the previous six days (UTC). `days`: number of days with events."""

    pubkey = HexField(primary_key=True)
    rank = models.IntegerField()
    events = models.IntegerField()
    days = models.IntegerField()

    class Meta:
        managed = False
        db_table = "active_authors"
        ordering: ClassVar[list[str]] = ["rank"]


class EventsByKindAndHour(ViewModel):
    """Number of events of a kind created in an hour (UTC) of the last 30 days.

    `hour`: Unix seconds of its start. `kind`: -1 for all kinds that are not among the most frequent.
    """

    key = models.TextField(primary_key=True)
    hour = models.BigIntegerField()
    kind = models.IntegerField()
    events = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "events_by_kind_and_hour"
        ordering: ClassVar[list[str]] = ["-hour", "kind"]


class StoreGrowth(ViewModel):
    """Events added and removed in an hour (UTC, time of the roll-up).

    `events`: stored at its end; `bytes_added`: JSON added; `store_bytes`: tables and indexes at its end.
    """

    hour = models.BigIntegerField(primary_key=True)
    added = models.BigIntegerField()
    removed = models.BigIntegerField()
    events = models.BigIntegerField()
    bytes_added = models.BigIntegerField()
    store_bytes = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "store_growth"
        ordering: ClassVar[list[str]] = ["-hour"]


class ReportedTarget(ViewModel):
    """A target of reports (NIP-56) of the last 30 days: a pubkey, an event, or a blob's SHA-256.

    `reasons`: NIP-56 reason -> reports; `reporters`: distinct pubkeys.
    """

    key = models.TextField(primary_key=True)
    target_type = models.CharField(max_length=8, choices=[(word, word) for word in ("pubkey", "event", "blob")])
    target = HexField()
    reports = models.IntegerField()
    reporters = models.IntegerField()
    reasons = models.JSONField()
    first_at = models.BigIntegerField()
    last_at = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "reported_targets"
        ordering: ClassVar[list[str]] = ["-reporters", "-last_at", "key"]


class JobRun(models.Model):
    """One run of a job. `job`: its name in the schedule, such as `refresh-popular_events`.

    `rows`: rows that the job processed; None if it counts none, was skipped or did not end.
    """

    class Outcome(models.TextChoices):
        """How a run ended."""

        RUNNING = "running"
        DONE = "done"
        SKIPPED = "skipped"  # another run was in progress or data is missing; `error` says which
        FAILED = "failed"
        KILLED = "killed"  # its process ended during the run

    job = models.CharField(max_length=100)
    instance = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    duration_seconds = models.FloatField(null=True)
    rows = models.BigIntegerField(null=True)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, default=Outcome.RUNNING)
    error = models.TextField(default="", blank=True)

    class Meta:
        db_table = "analytics_job_run"
        ordering: ClassVar[list[str]] = ["-started_at", "-id"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["job", "-started_at"], name="analytics_run_job"),
            models.Index(fields=["-started_at"], name="analytics_run_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.job} {self.started_at:%Y-%m-%d %H:%M:%S} {self.outcome}"


class Minute(models.Model):
    """The figures of all workers in one minute (UTC), kept for 30 days.

    Means of the minute's `samples`; latencies and lag are the maximum. None: unknown. `hit_rates`: layer -> percent.
    """

    minute = models.DateTimeField(primary_key=True)
    samples = models.SmallIntegerField(default=1)
    workers = models.FloatField(null=True)
    connections = models.FloatField(null=True)
    subscriptions = models.FloatField(null=True)
    events_per_second = models.FloatField(null=True)
    queries_per_second = models.FloatField(null=True)
    query_p95_seconds = models.FloatField(null=True)
    ok_p95_seconds = models.FloatField(null=True)
    position_lag_seconds = models.FloatField(null=True)
    pool_used = models.FloatField(null=True)
    pool_waiting = models.FloatField(null=True)
    cpu_percent = models.FloatField(null=True)
    memory_bytes = models.FloatField(null=True)
    jobs_waiting = models.FloatField(null=True)
    events = models.BigIntegerField(null=True)
    store_bytes = models.BigIntegerField(null=True)
    position = models.BigIntegerField(null=True)
    hit_rates = models.JSONField(default=dict)

    class Meta:
        db_table = "analytics_minute"
        ordering: ClassVar[list[str]] = ["-minute"]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class ScheduleDefault(models.Model):
    """The interval that the software last wrote for a job; another one in the schedule was set by an operator."""

    name = models.CharField(max_length=200, primary_key=True)
    every_seconds = models.FloatField()

    class Meta:
        db_table = "analytics_schedule_default"

    def __str__(self) -> str:
        return self.name
