"""GET /metrics, for Prometheus. Rule: only with the token or from an allowed address."""

import asyncio
import hmac
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST

from analytics.exposition_page import page

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")
FORBIDDEN = (
    b"Forbidden: send the bearer token of RELAY_METRICS_TOKEN, or use an address that RELAY_METRICS_ALLOW lists.\n"
)


async def metrics(request: HttpRequest) -> HttpResponse:
    """200 with Prometheus's text format, 403 without access, 405 for other methods than GET and HEAD."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
    if not may_read(request):
        return HttpResponse(FORBIDDEN, status=403, content_type="text/plain", headers={"Cache-Control": "no-store"})
    folder = Path(settings.PROMETHEUS_MULTIPROC_DIR) if settings.PROMETHEUS_MULTIPROC_DIR else None
    text = await asyncio.to_thread(page, folder)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def may_read(request: HttpRequest) -> bool:
    """True with the token, or for a client's own address in the list."""
    token = settings.RELAY_METRICS_TOKEN
    given = request.headers.get("Authorization", "").encode()
    if token and hmac.compare_digest(given, f"Bearer {token}".encode()):
        return True
    return _is_allowed(request.META.get("REMOTE_ADDR", "")) and not _has_untrusted_proxy(request)


def _is_allowed(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:  # a Unix socket has none
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ip_network(network, strict=False) for network in settings.RELAY_METRICS_ALLOW)


def _has_untrusted_proxy(request: HttpRequest) -> bool:
    """True if a proxy outside RELAY_TRUSTED_PROXIES forwarded the request: the address is then the proxy's.

    For a trusted proxy uvicorn sets the client's address and port 0.
    """
    return any(name in request.META for name in FORWARDED) and str(request.META.get("REMOTE_PORT")) != "0"
