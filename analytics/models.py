"""Models over the materialized views, which the database owns, and the two tables that jobs write: runs and minutes.

Rule: a view is read here and refreshed by its job; nothing is written through its model. A row of a view may name an
event that went since the last refresh: whoever shows its content reads it from the relay's own tables.
"""

from typing import ClassVar

from django.db import models

from relay.models import HexField, ReadOnlyModel


class ViewModel(ReadOnlyModel):
    """A row of a materialized view."""

    instead_of_save = instead_of_delete = "its view is refreshed by a job"

    class Meta:
        abstract = True


class PopularEvent(ViewModel):
    """A note of the last seven days and the people, other than its author, who engaged with it (popularity.py).

    `reactions`, `reposts`, `replies`, `zaps`: distinct people each; `people`: distinct people in all. Times are Unix
    seconds.
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

    def __str__(self) -> str:
        return self.event_id


class TrendingHashtag(ViewModel):
    """A hashtag (lower case, without #) by distinct authors who used it in the last 24 hours, and in the 24 before."""

    hashtag = models.TextField(primary_key=True)
    rank = models.IntegerField()
    authors = models.IntegerField()
    authors_before = models.IntegerField()
    events = models.IntegerField()

    class Meta:
        managed = False
        db_table = "trending_hashtags"
        ordering: ClassVar[list[str]] = ["rank"]

    def __str__(self) -> str:
        return self.hashtag


class ActiveAuthor(ViewModel):
    """An author by events of today and the six days before (UTC). `days`: on how many of these days."""

    pubkey = HexField(primary_key=True)
    rank = models.IntegerField()
    events = models.IntegerField()
    days = models.IntegerField()

    class Meta:
        managed = False
        db_table = "active_authors"
        ordering: ClassVar[list[str]] = ["rank"]

    def __str__(self) -> str:
        return self.pubkey


class EventsByKindAndHour(ViewModel):
    """How many events of a kind were created in an hour (UTC) of the last 30 days.

    `hour`: Unix seconds of its begin. `kind`: -1 stands for all kinds that are not among the most frequent.
    """

    key = models.TextField(primary_key=True)
    hour = models.BigIntegerField()
    kind = models.IntegerField()
    events = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "events_by_kind_and_hour"
        ordering: ClassVar[list[str]] = ["-hour", "kind"]

    def __str__(self) -> str:
        return str(self.key)


class StoreGrowth(ViewModel):
    """What an hour (UTC, by the clock of the roll-up) added to the store and took away.

    `events`: stored at its end; `bytes_added`: JSON of what was added; `store_bytes`: tables and indexes at its end.
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

    def __str__(self) -> str:
        return str(self.hour)


class ReportedTarget(ViewModel):
    """What people reported (NIP-56, kind 1984) in the last 30 days: a pubkey, an event, or a blob's SHA-256.

    `reasons` counts reports by NIP-56 reason; `reporters` are distinct people.
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

    def __str__(self) -> str:
        return str(self.key)


class JobRun(models.Model):
    """One run of a job. `job` is the name of its entry in the schedule, such as `refresh-popular_events`.

    `rows`: rows of the view, events rolled up, events swept, whatever the job counts; None when it counts nothing, was
    skipped or did not end.
    """

    class Outcome(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        SKIPPED = "skipped"  # another one ran still, or there was nothing to stand on yet; `error` says which
        FAILED = "failed"
        KILLED = "killed"  # its process went away in the middle

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
    """The figures of the whole relay in one minute (UTC), kept for 30 days.

    Means over the minute's `samples`; latencies and lag are the worst of them. None: not known then. `hit_rates` is
    percent by cache layer.
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
    """The interval that the software last wrote for an entry of the schedule; what differs from it is an operator's."""

    name = models.CharField(max_length=200, primary_key=True)
    every_seconds = models.FloatField()

    class Meta:
        db_table = "analytics_schedule_default"

    def __str__(self) -> str:
        return self.name
