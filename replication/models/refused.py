"""Which events one side refuses again and again, for good reasons: other bans, policies or limits."""

from typing import Any, ClassVar

from django.db import models

from replication.models.region import Region


class RefusedId(models.Model):
    """An event that was refused in anti-entropy: here, or (`by_peer`) by the peer. Until `retry_at` it counts as held
    by both, or by none, so that it is not sent again. Bounded; to lose a row costs one transfer.
    """

    peer = models.ForeignKey(Region, on_delete=models.CASCADE, related_name="refused_ids", db_index=False)
    created_at = models.BigIntegerField()
    event_id = models.BinaryField()
    stage = models.CharField(max_length=10)
    by_peer = models.BooleanField()
    retry_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["peer", "created_at", "event_id"], name="replication_one_refusal_an_event")
        ]

    def __str__(self) -> str:
        return bytes(self.event_id).hex()
