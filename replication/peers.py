"""What belongs to a peer from its first moment."""

from django.db import connection, transaction

from replication.models import Lane, Region
from replication.statements import statement


def begin_lanes(peer: Region) -> None:
    """Give the peer its cursors at the present position, and have anti-entropy send it what was stored before.

    It changes nothing for a peer that has them.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for lane in Lane:
            cursor.execute(statement("begin_lane"), {"peer": peer.pk, "lane": str(lane)})
        if cursor.rowcount:
            cursor.execute(statement("ask_repair"), {"peer": peer.pk, "reason": "a new peer"})


def region_was_saved(instance: Region, **_rest: object) -> None:
    """Django's signal post_save."""
    if not instance.is_local:
        begin_lanes(instance)
