"""The Django app of the replication package."""

from django.apps import AppConfig


class ReplicationConfig(AppConfig):
    """Regions and their replication, and management commands for several instances."""

    name = "replication"
    verbose_name = "Replication"

    def ready(self) -> None:
        """Give the relay its routing: the path, the tasks of a worker, and what its front page says of it."""
        from relay.services import process
        from relay.views.nearer import regions
        from relay.views.public import PUBLIC_VIEWS
        from replication.geo import checks  # noqa: F401  registers itself
        from replication.geo.routing import follow_files, follow_regions, routing
        from replication.geo.view import route

        PUBLIC_VIEWS["api/route"] = route
        process.companions += [follow_regions, follow_files]
        regions.exist, regions.nearer = lambda: routing().knows_places, lambda address: routing().nearer(address)
