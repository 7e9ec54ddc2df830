"""A system check of the databases of addresses. A fault is a warning: the relay serves without them."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from replication.geo.database import GeoDatabase


@register()
def databases_of_addresses_can_be_read(**_kwargs: Any) -> list[CheckMessage]:
    """relay.W010: a file of RELAY_GEOIP_DATABASE cannot be used as it is now."""
    database = GeoDatabase([Path(word) for word in settings.RELAY_GEOIP_DATABASE])
    database.refresh()
    return [
        Warning(
            f"RELAY_GEOIP_DATABASE: {file.path} cannot be used: {file.fault}.",
            hint="Until it is right, workers that have read it before go on with what they have.",
            id="relay.W010",
        )
        for file in database.files
        if file.fault
    ]
