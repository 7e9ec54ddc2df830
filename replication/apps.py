"""The Django app of the replication package."""

from django.apps import AppConfig


class ReplicationConfig(AppConfig):
    """Regions and their replication, and management commands for several instances."""

    name = "replication"
    verbose_name = "Replication"
