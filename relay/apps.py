"""The relay as a Django application."""

from django.apps import AppConfig


class RelayAppConfig(AppConfig):
    """Registers the system checks when Django is ready."""

    name = "relay"
    verbose_name = "Relay"
