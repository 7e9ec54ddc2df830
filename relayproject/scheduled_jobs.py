"""The jobs of relay and replication that beat starts; analytics/schedule.py adds its own and keeps the schedule."""


def scheduled_jobs(sweep_seconds: float) -> dict[str, tuple[str, float, str]]:
    """Name: (Celery task, seconds between two runs, what it does). `sweep_seconds`: between two sweeps of expired
    events.
    """
    return {
        "sweep-expired-events": ("relay.tasks.sweep_expired", sweep_seconds, "Removes expired events"),
        "collect-tags": ("relay.tasks.collect_tags", 60.0, "Removes the tag index entries of removed events"),
        "remove-vanished": ("relay.tasks.remove_vanished", 10.0, "Removes the events of vanished and banned keys"),
        "apply-retention": (
            "relay.tasks.apply_retention",
            60.0,
            "Removes the events that are older than the rules keep them",
        ),
        "extend-partitions": ("relay.tasks.extend_partitions", 3_600.0, "Makes the partitions of the next period"),
        "prune-change-log": ("relay.tasks.prune_change_log", 300.0, "Drops the oldest parts of the log"),
        "start-pushes": (
            "replication.tasks.start_pushes",
            5.0,
            "Starts the senders of regions that have none",
        ),
        "reconcile-recent": (
            "replication.tasks.reconcile_recent",
            300.0,
            "Compares recent events with the other regions, and heals both sides",
        ),
        "reconcile-whole": (
            "replication.tasks.reconcile_whole",
            86_400.0,
            "Compares all events with the other regions",
        ),
        "prune-sign-ins": ("relay.tasks.prune_sign_ins", 3_600.0, "Deletes old sign-ins and sessions"),
    }
