"""The relay as a Django application."""

from django.apps import AppConfig
from django.conf import settings

from relay.protocol.visibility import keep_drafts_private, keep_for_logins

# Here, because Django imports this before any module that makes SQL of the private kinds.
keep_drafts_private(settings.RELAY_PRIVATE_DRAFTS)
keep_for_logins(settings.RELAY_AUTH_TO_READ or ())


class RelayAppConfig(AppConfig):
    """Registers the system checks when Django is ready."""

    name = "relay"
    verbose_name = "Relay"

    def ready(self) -> None:
        """Tell the router how to check a replica."""
        from relay.routers import health
        from relay.storage.replica_check import can_be_read

        health.check = can_be_read
