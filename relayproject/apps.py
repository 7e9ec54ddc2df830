"""The project as a Django app: management commands and system checks."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """The app `relayproject`."""

    name = "relayproject"
    verbose_name = "Relay project"

    def ready(self) -> None:
        """Import the Celery app, whose settings the admin needs to send jobs, and register the system checks."""
        from relayproject import celery, checks  # noqa: F401
