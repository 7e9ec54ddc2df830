"""Lock-out after failed sign-ins (django-axes).

Rule: IP addresses are locked out, never user names: otherwise anyone could lock out an operator.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from relay.transport import admission


def network_of(request: HttpRequest) -> str | None:
    """The key of a lock-out: the client's IPv4 address or IPv6 /64 network. None for a Unix socket,
    and for a forwarded address that is none: these clients count together.

    REMOTE_ADDR is the client's address: uvicorn takes it from X-Forwarded-For of RELAY_TRUSTED_PROXIES.
    """
    network = admission.network_of(request.META.get("REMOTE_ADDR") or "")
    return None if network == admission.UNKNOWN else network


def locked_out(request: HttpRequest, *_unused: Any) -> HttpResponse:
    """429 with a page and Retry-After; 503 when too many sign in at once (sign_in.py)."""
    if getattr(request, "sign_in_busy", False):
        text = "Too many sign-ins at once: try again in a few seconds.\n"
        headers = {"Retry-After": "5", "Cache-Control": "no-store"}
        return HttpResponse(text, status=503, content_type="text/plain; charset=utf-8", headers=headers)
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
