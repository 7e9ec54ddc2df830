"""The relay as a Django application."""

from django.apps import AppConfig
from django.conf import settings

from relay.protocol.visibility import keep_drafts_private

# Here, because Django imports this before any module that makes SQL of the private kinds.
keep_drafts_private(settings.RELAY_PRIVATE_DRAFTS)


class RelayAppConfig(AppConfig):
    """Registers the system checks when Django is ready."""

    name = "relay"
    verbose_name = "Relay"
