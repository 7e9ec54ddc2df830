"""Lock-out after failed sign-ins (django-axes).

Rule: IP addresses are locked out, never user names: otherwise anyone could lock out an operator.
"""

from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

SUBSCRIBER_PREFIX = 64
"""An IPv6 subscriber has at least a /64."""


def network_of(request: HttpRequest) -> str | None:
    """The key of a lock-out: the client's IPv4 address or IPv6 /64 network. None for a Unix socket.

    REMOTE_ADDR is the client's address: uvicorn takes it from X-Forwarded-For of RELAY_TRUSTED_PROXIES.
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
    """429 with a page and Retry-After."""
    remaining: timedelta = settings.AXES_COOLOFF_TIME
    context = {
        **admin.site.each_context(request),
        "title": "Locked out",
        "failures": settings.AXES_FAILURE_LIMIT,
        "remaining": _in_words(remaining),
    }
    response = render(request, "admin/locked_out.html", context, status=429)
    response["Retry-After"] = str(int(remaining.total_seconds()))
    response["Cache-Control"] = "no-store"
    return response


def _in_words(duration: timedelta) -> str:
    """Seconds, or minutes rounded up."""
    seconds = int(duration.total_seconds())
    if seconds < 120:
        return f"{seconds} seconds"
    return f"{-(-seconds // 60)} minutes"
