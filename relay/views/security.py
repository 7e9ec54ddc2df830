"""Security headers on every answer. Rule: nothing may run or load but what this server itself sends.

The admin is the exception that django-unfold needs: its Alpine.js evaluates expressions, and writes style attributes.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Response = TypeVar("Response", bound=HttpResponseBase)

CLOSED = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
ADMIN = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
ADMIN_PATH = "/admin/"


def page_policy(relay_url: str, host: str, *, has_images: bool) -> str:
    """The policy of the relay's page, which speaks to the relay: at `relay_url`, or at the `host` it was opened by."""
    origin = urlsplit(relay_url)
    policy = (
        f"{CLOSED}; script-src 'self'; connect-src 'self' {origin.scheme}://{origin.netloc} ws://{host} wss://{host}"
    )
    return f"{policy}; img-src 'self' https:" if has_images else f"{policy}; img-src 'self'"


class SecurityHeaders:
    """Middleware, the outermost. A view's own Content-Security-Policy is kept."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self._get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return secured(request, await self._get_response(request))


def secured(request: HttpRequest, response: Response) -> Response:
    """The response, with every security header that it does not have yet."""
    headers = response.headers
    headers.setdefault("Content-Security-Policy", ADMIN if request.path_info.startswith(ADMIN_PATH) else CLOSED)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if settings.SECURE_HSTS_SECONDS and request.is_secure():
        headers.setdefault("Strict-Transport-Security", f"max-age={settings.SECURE_HSTS_SECONDS}")
    return response
