"""The Django app of the replication package."""

from django.apps import AppConfig


class ReplicationConfig(AppConfig):
    """Management commands for several instances; it has no models."""

    name = "replication"
    verbose_name = "Replication"
