"""What the peers say of themselves, and what anti-entropy has found."""

from typing import ClassVar

from django.db import models

from replication.models.region import Region


class PeerHealth(models.Model):
    """The last answers of a peer. `clock_difference_seconds`: its clock minus ours. `connections` of `capacity`: its
    load. `accepts_events`, `accepts_bytes`: how much it takes next (back-pressure).
    """

    peer = models.OneToOneField(Region, on_delete=models.CASCADE, primary_key=True, related_name="health")
    asked_at = models.DateTimeField(null=True)
    last_contact_at = models.DateTimeField(null=True)
    latency_ms = models.FloatField(null=True)
    clock_difference_seconds = models.FloatField(null=True)
    ready = models.BooleanField(default=False)
    connections = models.PositiveIntegerField(default=0)
    capacity = models.PositiveIntegerField(default=0)
    accepts_events = models.PositiveIntegerField(default=0)
    accepts_bytes = models.PositiveIntegerField(default=0)
    position = models.BigIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["peer__name"]
        verbose_name_plural = "peer health"

    def __str__(self) -> str:
        return str(self.peer)


class Repair(models.Model):
    """One run of anti-entropy with a peer: what was compared (`windows` of time, `compared` events), and what each side
    lacked. `finished_at` is empty while it runs, or if its process ended.
    """

    peer = models.ForeignKey(Region, on_delete=models.CASCADE, related_name="repairs")
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200, blank=True)
    since = models.BigIntegerField(null=True)
    until = models.BigIntegerField(null=True)
    windows = models.PositiveIntegerField(default=0)
    compared = models.BigIntegerField(default=0)
    received = models.BigIntegerField(default=0)
    sent = models.BigIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-started_at"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["peer", "-started_at"], name="replication_repairs_by_peer")
        ]

    def __str__(self) -> str:
        return f"{self.peer} {self.started_at:%Y-%m-%d %H:%M}"
