"""A region: a whole relay with a primary of its own, at a place. One row is this region, the others are its peers."""

from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from relay.protocol.removal import place_of
from replication.sealing import Unreadable, new_secret, seal, unseal

HEX_KEY_LENGTH = 64
ROTATION = timedelta(days=7)
"""How long the secret before a rotation is still valid, by default."""


class Selection(models.TextChoices):
    """Which events are sent to a peer."""

    ALL = "all", "all"
    KINDS = "kinds", "chosen kinds"
    AUTHORS = "authors", "chosen authors"


def check_relay_urls(value: object) -> None:
    """Raises ValidationError unless it is a list of ws:// or wss:// URLs."""
    if not isinstance(value, list) or not all(isinstance(url, str) and place_of(url) for url in value):
        raise ValidationError("must be a list of addresses like wss://eu.relay.example.com")


def check_kinds(value: object) -> None:
    """Raises ValidationError unless it is a list of event kinds."""
    if not isinstance(value, list) or not all(type(kind) is int and 0 <= kind <= 65_535 for kind in value):
        raise ValidationError("must be a list of event kinds, 0 to 65535")


def check_keys(value: object) -> None:
    """Raises ValidationError unless it is a list of public keys."""
    if not isinstance(value, list) or not all(_is_key(key) for key in value):
        raise ValidationError("must be a list of public keys, 64 lower-case hex digits each")


def _is_key(key: object) -> bool:
    return isinstance(key, str) and len(key) == HEX_KEY_LENGTH and not set(key) - set("0123456789abcdef")


def check_endpoint(value: str) -> None:
    """Raises ValidationError unless it is the base URL of an HTTP API, without a path: the path is signed."""
    try:
        parts = urlsplit(value)
        right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValidationError("must be a URL like https://eu.relay.example.com, without a path")


class Region(models.Model):
    """`origin` is the region's number in the log: the events that came from it have it there. The database gives it
    once and never again, also after the region was removed.

    A peer's settings say what is sent to it (`send`, `own_only`, `may_read_private`) and how what comes from it is
    taken (`trusted`).
    """

    origin = models.AutoField(primary_key=True)
    name = models.SlugField(max_length=40, unique=True)
    is_local = models.BooleanField(default=False)
    latitude = models.FloatField(null=True, blank=True, validators=[MinValueValidator(-90), MaxValueValidator(90)])
    longitude = models.FloatField(null=True, blank=True, validators=[MinValueValidator(-180), MaxValueValidator(180)])
    relay_urls = models.JSONField(default=list, blank=True, validators=[check_relay_urls])
    endpoint = models.CharField(max_length=255, blank=True, validators=[check_endpoint])
    weight = models.PositiveIntegerField(default=100, validators=[MinValueValidator(1), MaxValueValidator(10_000)])
    enabled = models.BooleanField(default=True)
    trusted = models.BooleanField(default=False)
    may_read_private = models.BooleanField(default=False)
    send = models.CharField(max_length=10, choices=Selection.choices, default=Selection.ALL)
    send_kinds = models.JSONField(default=list, blank=True, validators=[check_kinds])
    send_authors = models.JSONField(default=list, blank=True, validators=[check_keys])
    own_only = models.BooleanField(default=True)
    sealed_secret = models.TextField(blank=True, editable=False)
    sealed_previous = models.TextField(blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False)
    repair_asked_at = models.DateTimeField(null=True, editable=False)
    repair_reason = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                fields=["is_local"], condition=models.Q(is_local=True), name="replication_one_local_region"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **options: Any) -> None:
        """Django: and have everything compared with a peer that is enabled again, however long it was not."""
        if self.pk and self.enabled and Region.objects.filter(pk=self.pk, enabled=False, is_local=False).exists():
            self.repair_asked_at, self.repair_reason = timezone.now(), "enabled again"
        super().save(*args, **options)

    @classmethod
    def local(cls) -> "Region | None":
        """This region; None where regions are not used."""
        return cls.objects.filter(is_local=True).first()

    @property
    def is_needed(self) -> bool:
        """Whether it is this region and has peers: without its name nothing is signed, and nothing sent."""
        return self.is_local and Region.objects.exclude(pk=self.pk).exists()

    @classmethod
    def peers(cls) -> "models.QuerySet[Region]":
        """The regions that this one replicates with."""
        return cls.objects.filter(is_local=False, enabled=True)

    @property
    def trusts_answers(self) -> bool:
        """Whether events in the peer's answers need no verification: its requests are signed, but who answers is known
        from its certificate alone.
        """
        return self.trusted and urlsplit(self.endpoint).scheme == "https"

    def secrets(self, now: datetime | None = None) -> tuple[str, ...]:
        """The valid secrets, the current one first: two until the end of a rotation. Raises Unreadable."""
        found = [unseal(self.sealed_secret)]
        if self.sealed_previous and self.previous_until and (now or timezone.now()) < self.previous_until:
            found.append(unseal(self.sealed_previous))
        return tuple(secret for secret in found if secret)

    @property
    def secret_state(self) -> str:
        """In words: none, unreadable, set, or until when the previous one is valid as well."""
        try:
            valid = self.secrets()
        except Unreadable as error:
            return error.__doc__ or "unreadable"
        if not valid:
            return "none"
        return (
            "set" if len(valid) == 1 else f"set; the previous one is valid until {self.previous_until:%Y-%m-%d %H:%M}"
        )

    def rotate(self, secret: str = "", keep: timedelta = ROTATION) -> str:
        """Take a new secret, a random one unless it is given, and keep the present one valid for `keep`; returns it.

        The caller saves. A secret that is the present one already changes nothing.
        """
        new = secret or new_secret()
        try:
            if self.sealed_secret and unseal(self.sealed_secret) == new:
                return new
        except Unreadable:
            self.sealed_secret = ""
        self.sealed_previous = self.sealed_secret
        self.previous_until = timezone.now() + keep if self.sealed_secret else None
        self.sealed_secret = seal(new)
        return new
