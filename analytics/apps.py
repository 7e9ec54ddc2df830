"""The Django app of the analytics."""

from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    """Materialized views, history and dashboards."""

    name = "analytics"
    verbose_name = "Analytics"

    def ready(self) -> None:
        """Name the admin's models; the last app of INSTALLED_APPS, so that all models are loaded."""
        from analytics.admin.navigation import name_models

        name_models()
