"""What happens to whoever guesses passwords: after a few failures an address is locked out for a while (django-axes).

Rule: an address is locked out, never a name, so that no stranger can keep an operator out.
"""

from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

SUBSCRIBER_PREFIX = 64
"""Of IPv6 one subscriber has at least a /64, and so 2^64 addresses to guess from."""


def network_of(request: HttpRequest) -> str | None:
    """What a lock-out counts by: the client's address, of IPv6 the first of its /64. None: a Unix socket's client.

    REMOTE_ADDR is the client's own: the server takes it from X-Forwarded-For when RELAY_TRUSTED_PROXIES says so.
    """
    try:
        address = ip_address(request.META.get("REMOTE_ADDR") or "")
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), SUBSCRIBER_PREFIX), strict=False).network_address)


def locked_out(request: HttpRequest, *_unused: Any) -> HttpResponse:
    """429 with a page that says what has happened, and when to try again."""
    patience: timedelta = settings.AXES_COOLOFF_TIME
    context = {
        **admin.site.each_context(request),
        "title": "Locked out",
        "failures": settings.AXES_FAILURE_LIMIT,
        "patience": _spoken(patience),
    }
    response = render(request, "admin/locked_out.html", context, status=429)
    response["Retry-After"] = str(int(patience.total_seconds()))
    response["Cache-Control"] = "no-store"
    return response


def _spoken(duration: timedelta) -> str:
    """A duration as one says it, rounded up."""
    seconds = int(duration.total_seconds())
    if seconds < 120:
        return f"{seconds} seconds"
    return f"{-(-seconds // 60)} minutes"
