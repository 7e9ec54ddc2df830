"""The project as an app: it brings the commands and the system checks."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "relayproject"
    verbose_name = "Relay project"

    def ready(self) -> None:
        from relayproject import (
            celery,  # noqa: F401  pages send jobs with its settings
            checks,  # noqa: F401  registers the checks
        )
