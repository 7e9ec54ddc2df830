"""The roll-up, the materialized views over it, the role that refreshes them, the run log and the minute history."""

from typing import ClassVar

from django.db import migrations, models

import relay.models
from analytics.statements import statement

VIEWS = (
    "popular_events", "trending_hashtags", "active_authors", "events_by_kind_and_hour", "store_growth", "reported_targets",
)  # fmt: skip

DOWN = f"""
DROP MATERIALIZED VIEW IF EXISTS {", ".join(VIEWS)};
DROP TABLE IF EXISTS analytics_cursor, analytics_recent, analytics_kind_hour, analytics_author_day, analytics_growth,
    analytics_report;
DROP FUNCTION IF EXISTS analytics_now, analytics_mean;
"""


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0001_events_and_order")]

    operations = [
        migrations.RunSQL("\n".join(statement(name) for name in ("rollup", *VIEWS, "role")), DOWN),
        migrations.CreateModel(
            name="PopularEvent",
            fields=[
                ("event_id", relay.models.HexField(primary_key=True, serialize=False)),
                ("rank", models.IntegerField()),
                ("pubkey", relay.models.HexField()),
                ("kind", models.IntegerField()),
                ("created_at", models.BigIntegerField()),
                ("expires_at", models.BigIntegerField(null=True)),
                ("people", models.IntegerField()),
                ("reactions", models.IntegerField()),
                ("reposts", models.IntegerField()),
                ("replies", models.IntegerField()),
                ("zaps", models.IntegerField()),
            ],
            options={"db_table": "popular_events", "ordering": ["rank"], "managed": False},
        ),
        migrations.CreateModel(
            name="TrendingHashtag",
            fields=[
                ("hashtag", models.TextField(primary_key=True, serialize=False)),
                ("rank", models.IntegerField()),
                ("authors", models.IntegerField()),
                ("authors_before", models.IntegerField()),
                ("events", models.IntegerField()),
            ],
            options={"db_table": "trending_hashtags", "ordering": ["rank"], "managed": False},
        ),
        migrations.CreateModel(
            name="ActiveAuthor",
            fields=[
                ("pubkey", relay.models.HexField(primary_key=True, serialize=False)),
                ("rank", models.IntegerField()),
                ("events", models.IntegerField()),
                ("days", models.IntegerField()),
            ],
            options={"db_table": "active_authors", "ordering": ["rank"], "managed": False},
        ),
        migrations.CreateModel(
            name="EventsByKindAndHour",
            fields=[
                ("key", models.TextField(primary_key=True, serialize=False)),
                ("hour", models.BigIntegerField()),
                ("kind", models.IntegerField()),
                ("events", models.BigIntegerField()),
            ],
            options={"db_table": "events_by_kind_and_hour", "ordering": ["-hour", "kind"], "managed": False},
        ),
        migrations.CreateModel(
            name="StoreGrowth",
            fields=[
                ("hour", models.BigIntegerField(primary_key=True, serialize=False)),
                ("added", models.BigIntegerField()),
                ("removed", models.BigIntegerField()),
                ("events", models.BigIntegerField()),
                ("bytes_added", models.BigIntegerField()),
                ("store_bytes", models.BigIntegerField()),
            ],
            options={"db_table": "store_growth", "ordering": ["-hour"], "managed": False},
        ),
        migrations.CreateModel(
            name="ReportedTarget",
            fields=[
                ("key", models.TextField(primary_key=True, serialize=False)),
                (
                    "target_type",
                    models.CharField(
                        choices=[("pubkey", "pubkey"), ("event", "event"), ("blob", "blob")], max_length=8
                    ),
                ),
                ("target", relay.models.HexField()),
                ("reports", models.IntegerField()),
                ("reporters", models.IntegerField()),
                ("reasons", models.JSONField()),
                ("first_at", models.BigIntegerField()),
                ("last_at", models.BigIntegerField()),
            ],
            options={
                "db_table": "reported_targets",
                "ordering": ["-reporters", "-last_at", "key"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Minute",
            fields=[
                ("minute", models.DateTimeField(primary_key=True, serialize=False)),
                ("samples", models.SmallIntegerField(default=1)),
                *(
                    (name, models.FloatField(null=True))
                    for name in (
                        "workers", "connections", "subscriptions", "events_per_second", "queries_per_second",
                        "query_p95_seconds", "ok_p95_seconds", "position_lag_seconds", "pool_used",
                        "pool_waiting", "cpu_percent", "memory_bytes", "jobs_waiting",
                    )
                ),
                *((name, models.BigIntegerField(null=True)) for name in ("events", "store_bytes", "position")),
                ("hit_rates", models.JSONField(default=dict)),
            ],
            options={"db_table": "analytics_minute", "ordering": ["-minute"]},
        ),
        migrations.CreateModel(
            name="ScheduleDefault",
            fields=[
                ("name", models.CharField(max_length=200, primary_key=True, serialize=False)),
                ("every_seconds", models.FloatField()),
            ],
            options={"db_table": "analytics_schedule_default"},
        ),
        migrations.CreateModel(
            name="JobRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("job", models.CharField(max_length=100)),
                ("instance", models.CharField(max_length=200)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("duration_seconds", models.FloatField(null=True)),
                ("rows", models.BigIntegerField(null=True)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            (word, word.capitalize()) for word in ("running", "done", "skipped", "failed", "killed")
                        ],
                        default="running",
                        max_length=8,
                    ),
                ),
                ("error", models.TextField(blank=True, default="")),
            ],
            options={
                "db_table": "analytics_job_run",
                "ordering": ["-started_at", "-id"],
                "indexes": [
                    models.Index(fields=["job", "-started_at"], name="analytics_run_job"),
                    models.Index(fields=["-started_at"], name="analytics_run_newest"),
                ],
            },
        ),
    ]
