"""The Django app of the replication package."""

from django.apps import AppConfig


class ReplicationConfig(AppConfig):
    """Regions and their replication, and management commands for several instances."""

    name = "replication"
    verbose_name = "Replication"

    def ready(self) -> None:
        """Give each new peer its cursors."""
        from django.db.models.signals import post_save

        from replication.models import Region
        from replication.peers import region_was_saved

        post_save.connect(region_was_saved, sender=Region, dispatch_uid="lanes of a region")
