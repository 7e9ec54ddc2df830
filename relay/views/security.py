"""Security headers of every response. Rule: the CSP allows scripts and resources of this server only.

Exception: django-unfold's Alpine.js needs 'unsafe-eval' and inline styles in the admin.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Response = TypeVar("Response", bound=HttpResponseBase)

DEFAULT_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
ADMIN_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
ADMIN_PATH = "/admin/"


def page_policy(relay_url: str, host: str, *, has_images: bool) -> str:
    """The CSP of the front page, whose script connects to `relay_url` and to the `host` of the request."""
    origin = urlsplit(relay_url)
    policy = f"{DEFAULT_POLICY}; script-src 'self'; connect-src 'self' {origin.scheme}://{origin.netloc} ws://{host} wss://{host}"
    return f"{policy}; img-src 'self' https:" if has_images else f"{policy}; img-src 'self'"


class SecurityHeaders:
    """The outermost middleware. A Content-Security-Policy set by a view is kept."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self._get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Django: one request."""
        return with_security_headers(request, await self._get_response(request))


def with_security_headers(request: HttpRequest, response: Response) -> Response:
    """The response with the missing security headers added."""
    headers = response.headers
    headers.setdefault(
        "Content-Security-Policy", ADMIN_POLICY if request.path_info.startswith(ADMIN_PATH) else DEFAULT_POLICY
    )
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if settings.SECURE_HSTS_SECONDS and request.is_secure():
        headers.setdefault("Strict-Transport-Security", f"max-age={settings.SECURE_HSTS_SECONDS}")
    return response
