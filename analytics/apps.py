"""The Django app of the analytics."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AnalyticsConfig(AppConfig):
    """Materialized views, history and dashboards."""

    name = "analytics"
    verbose_name = "Analytics"

    def ready(self) -> None:
        """Name the admin's models; the last app of INSTALLED_APPS, so that all models are loaded."""
        from analytics.navigation import name_models
        from analytics.operator_groups import install
        from relay.storage.event_count import count_with

        name_models()
        count_with("analytics_event_count()")
        post_migrate.connect(install, sender=self, dispatch_uid="operator groups")
