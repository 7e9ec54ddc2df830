"""Django's admin, whose pages are imported by what serves or checks them alone.

Django imports them in every process, which is a third of the start of `prepare`, of the jobs and of a command.
"""

from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks


class AdminConfig(SimpleAdminConfig):
    """The app `admin`."""

    def ready(self) -> None:
        """Register Django's checks of the admin, and import no page."""
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(check_pages, checks.Tags.admin)


def check_pages(app_configs: Any, **given: Any) -> list[checks.CheckMessage]:
    """Django's checks of the pages."""
    admin.autodiscover()
    return check_admin_app(app_configs, **given)
