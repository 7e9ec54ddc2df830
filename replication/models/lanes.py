"""How far each peer was sent the log, by lane, and what it has refused."""

from typing import Any, ClassVar

from django.db import models

from replication.models.region import Region


class Lane(models.TextChoices):
    """Events that wait for each other; replication.lanes says which kinds are in which."""

    URGENT = "urgent", "urgent"
    NORMAL = "normal", "normal"
    LOW = "low", "low"


class LaneState(models.TextChoices):
    """Whether the peer takes what is sent."""

    UP = "up", "up"
    DOWN = "down", "down"


class PeerLane(models.Model):
    """The cursor of a peer and lane: everything of the lane up to `position` in the log of `identity` and `epoch` has
    its outcome. One sender at a time holds the lease; the cursor moves only while it does (sql/move_cursor.sql).
    """

    peer = models.ForeignKey(Region, on_delete=models.CASCADE, related_name="lanes")
    lane = models.CharField(max_length=10, choices=Lane.choices)
    identity = models.CharField(max_length=16, blank=True)
    epoch = models.BigIntegerField(default=0)
    position = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=LaneState.choices, default=LaneState.UP)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    lag_events = models.BigIntegerField(default=0)
    lag_seconds = models.FloatField(default=0)
    last_error = models.TextField(blank=True)
    events_per_second = models.FloatField(default=0)
    bytes_per_second = models.FloatField(default=0)
    sent_events = models.BigIntegerField(default=0)
    sent_bytes = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["peer__name", "id"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["peer", "lane"], name="replication_one_cursor_a_lane")
        ]

    def __str__(self) -> str:
        return f"{self.peer} {self.lane}"


class DeadLetter(models.Model):
    """An event that the peer has refused. The event itself stays where it is stored: a copy here would outlive its
    deletion and its author's request to vanish.
    """

    peer = models.ForeignKey(Region, on_delete=models.CASCADE, related_name="dead_letters")
    event_id = models.CharField(max_length=64)
    event_created_at = models.BigIntegerField()
    kind = models.IntegerField()
    reason_class = models.CharField(max_length=20)
    reason = models.CharField(max_length=300)
    tries = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(auto_now_add=True)
    last_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-last_at"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["peer", "event_id"], name="replication_one_letter_an_event")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["peer", "reason_class", "last_at"], name="replication_letters_by_reason"),
            models.Index(fields=["-last_at"], name="replication_letters_by_time"),
        ]

    def __str__(self) -> str:
        return self.event_id
