"""The regions of the settings, written into the database at the first start; the admin has them afterwards."""

from django.conf import settings
from django.db import transaction

from replication.models import Region


@transaction.atomic
def install() -> int:
    """Add this region and its peers, if there is no region at all; returns how many were added.

    The local region is added later, too, when RELAY_REGION is set in a store that has peers alone.
    """
    if not settings.RELAY_REGION or Region.objects.filter(is_local=True).exists():
        return 0
    is_first = not Region.objects.exists()
    location = settings.RELAY_REGION_LOCATION
    added = [
        Region(
            name=settings.RELAY_REGION,
            is_local=True,
            latitude=location[0] if location else None,
            longitude=location[1] if location else None,
            relay_urls=[settings.RELAY_URL] if settings.RELAY_URL_IS_SET else [],
        )
    ]
    for described in settings.RELAY_PEERS if is_first else ():
        peer = Region(name=described.name, endpoint=described.endpoint, relay_urls=list(described.relay_urls))
        if described.location:
            peer.latitude, peer.longitude = described.location
        if described.secret:
            peer.rotate(described.secret)
        added.append(peer)
    for region in added:
        region.save()
    return len(added)
