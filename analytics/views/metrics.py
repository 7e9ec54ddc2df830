"""GET /metrics, for Prometheus. Rule: closed to strangers; who may read it has the token or an allowed address."""

import asyncio
import hmac
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST

from analytics.exposition_page import page

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")
CLOSED = (
    b"Closed: send the bearer token of RELAY_METRICS_TOKEN, or ask from an address that RELAY_METRICS_ALLOW names.\n"
)


async def metrics(request: HttpRequest) -> HttpResponse:
    """200 with Prometheus's text format, 403 for strangers, 405 for other methods than GET and HEAD."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
    if not may_read(request):
        return HttpResponse(CLOSED, status=403, content_type="text/plain", headers={"Cache-Control": "no-store"})
    folder = Path(settings.PROMETHEUS_MULTIPROC_DIR) if settings.PROMETHEUS_MULTIPROC_DIR else None
    text = await asyncio.to_thread(page, folder)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def may_read(request: HttpRequest) -> bool:
    """True for the right token, or an address of the list that is the client's own."""
    token = settings.RELAY_METRICS_TOKEN
    given = request.headers.get("Authorization", "").encode()
    if token and hmac.compare_digest(given, f"Bearer {token}".encode()):
        return True
    return _is_allowed(request.META.get("REMOTE_ADDR", "")) and not _comes_through_a_stranger(request)


def _is_allowed(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:  # a Unix socket has none
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ip_network(network, strict=False) for network in settings.RELAY_METRICS_ALLOW)


def _comes_through_a_stranger(request: HttpRequest) -> bool:
    """True when a proxy that RELAY_TRUSTED_PROXIES does not name passed this on: the address is then only its own.

    uvicorn puts the client's address in the place of a trusted proxy's, with port 0 because it does not know it.
    """
    return any(name in request.META for name in FORWARDED) and str(request.META.get("REMOTE_PORT")) != "0"
