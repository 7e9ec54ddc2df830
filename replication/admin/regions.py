"""Regions: list, form, and the rotation of a secret, which is shown once."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminPasswordWidget

from relay.admin.base import ModelAdmin
from relay.admin.formatting import isolated
from replication.models import PeerHealth, Region
from replication.wire import MIN_SECRET_LENGTH

if TYPE_CHECKING:
    _Form = forms.ModelForm[Region]
else:
    _Form = forms.ModelForm

FRESH_SECONDS = 60.0
"""How long a peer's health is shown as known after the last contact."""


class RegionForm(_Form):
    """A region, with a field for its secret that shows none."""

    secret = forms.CharField(
        required=False,
        min_length=MIN_SECRET_LENGTH,
        max_length=200,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text="Of both regions. Empty: keeps the present one; a new peer gets a random one, which is shown once. "
        "After a change the one before stays valid for a week.",
    )

    class Meta:
        model = Region
        fields = "__all__"
        labels = {  # noqa: RUF012  as Django wants it
            "is_local": "This region",
            "relay_urls": "Relay URLs",
            "send_kinds": "Chosen kinds",
            "send_authors": "Chosen authors",
            "own_only": "Own events only",
            "may_read_private": "Private kinds",
        }
        help_texts = {  # noqa: RUF012  as Django wants it
            "name": "As the other regions call it: it is part of every signature.",
            "is_local": "The region that this relay is in. There is one.",
            "relay_urls": 'Addresses for clients, such as ["wss://eu.relay.example.com"]. Requests to vanish that name '
            "one of them hold in every region.",
            "endpoint": "HTTP address for other regions, such as https://eu.relay.example.com.",
            "weight": "Of two regions at the same distance, clients are sent to the heavier one more often.",
            "enabled": "Disabled: nothing is sent to it or taken from it.",
            "trusted": "Signatures of events from it are not verified again. Ids are.",
            "may_read_private": "Private messages and drafts are sent to it.",
            "send_kinds": "Where chosen kinds are sent, such as [0, 1, 3].",
            "send_authors": "Where events of chosen authors are sent: a list of public keys in hex.",
            "own_only": "Only what was published in this region, not what came from a third one. Right where every "
            "region sends to every other.",
        }

    def clean(self) -> dict[str, Any]:
        """Django: a peer needs an endpoint, and keeps being one."""
        found: dict[str, Any] = super().clean() or {}
        if not found.get("is_local") and not found.get("endpoint"):
            self.add_error("endpoint", "A peer has an endpoint.")
        if self.instance.pk is not None and "is_local" in self.changed_data:
            self.add_error("is_local", "A region cannot become another one. Remove it, and add a new one.")
        return found


@admin.register(Region)
class RegionAdmin(ModelAdmin[Region]):
    """All regions. The number of a removed one is never given to another."""

    form = RegionForm
    list_display = ("name", "role", "state", "latency", "clock", "load", "secret_column", "endpoint")
    list_select_related = ("health",)
    list_fullwidth = True
    search_fields = ("name",)
    actions = ("rotate",)
    empty_help = "Set RELAY_REGION, or add this region and its peers here."
    fieldsets = (
        (None, {"fields": ("name", "is_local", "enabled", "endpoint", "secret")}),
        ("Place", {"fields": ("latitude", "longitude", "relay_urls", "weight")}),
        ("What it is sent", {"fields": ("send", "send_kinds", "send_authors", "own_only", "may_read_private")}),
        ("What comes from it", {"fields": ("trusted",)}),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Region, Region]":
        """Django: with their health."""
        return super().get_queryset(request).select_related("health")

    def save_model(self, request: HttpRequest, obj: Region, form: Any, change: bool) -> None:
        """Django: with the secret that was entered, or a random one for a new peer."""
        given = form.cleaned_data.get("secret") or ""
        if given:
            obj.rotate(given)
        elif not change and not obj.is_local:
            self._show(request, obj, obj.rotate())
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Region | None = None) -> bool:
        """Django: this region stays while it has peers."""
        return super().has_delete_permission(request, obj) and not (obj and obj.is_needed)

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        """Django: operators who may change a region."""
        return self.has_change_permission(request)

    @admin.action(description="Rotate the secret", permissions=["rotate"])
    def rotate(self, request: HttpRequest, queryset: "QuerySet[Region, Region]") -> None:
        """Django: give each chosen peer a random secret; the one before stays valid for a week."""
        for region in queryset.filter(is_local=False):
            secret = region.rotate()
            region.save()
            self.log_change(request, region, "secret rotated")
            self._show(request, region, secret)

    def _show(self, request: HttpRequest, region: Region, secret: str) -> None:
        self.message_user(
            request,
            format_html(
                "New secret of {}: <code>{}</code>. It is not shown again: enter it there as the secret of this "
                "region.",
                region.name,
                secret,
            ),
            messages.WARNING,
        )

    @admin.display(description="role")
    def role(self, region: Region) -> str:
        return "this region" if region.is_local else "peer"

    @admin.display(description="state")
    def state(self, region: Region) -> SafeString | str:
        if region.is_local:
            return ""
        if not region.enabled:
            return "disabled"
        health = _health(region)
        if health and health.error:
            return isolated(health.error, 120)
        if health is None or health.last_contact_at is None:
            return "no contact yet"
        if (timezone.now() - health.last_contact_at).total_seconds() > FRESH_SECONDS:
            return f"no contact since {health.last_contact_at:%Y-%m-%d %H:%M:%S}"
        return "up" if health.ready else "not ready"

    @admin.display(description="latency")
    def latency(self, region: Region) -> str:
        health = _health(region)
        return "" if health is None or health.latency_ms is None else f"{health.latency_ms:.1f} ms"

    @admin.display(description="clock")
    def clock(self, region: Region) -> str:
        health = _health(region)
        known = None if health is None else health.clock_difference_seconds
        return "" if known is None else f"{known:+.1f} s"

    @admin.display(description="connections")
    def load(self, region: Region) -> str:
        health = _health(region)
        return "" if health is None or not health.capacity else f"{health.connections:,} of {health.capacity:,}"

    @admin.display(description="secret")
    def secret_column(self, region: Region) -> str:
        return "" if region.is_local else region.secret_state


def _health(region: Region) -> PeerHealth | None:
    return getattr(region, "health", None)
