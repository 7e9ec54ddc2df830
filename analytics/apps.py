"""The Django app of the operators' figures."""

from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    """Materialized views, history and dashboards."""

    name = "analytics"
    verbose_name = "Analytics"
