"""Reads after writes: an operator sees a change at once, though replicas have it a moment later.

A request to the admin that may write is pinned to the primary (`relay.routers`), and so are all of the same browser for
PIN_SECONDS after it.
"""

from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from relay.routers import pin_to_primary
from relay.views.security import ADMIN_PATH

COOKIE: Final = "relay_wrote"
PIN_SECONDS: Final = 10
"""Longer than a replica that is read lags, by far."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class PinAfterWrites:
    """A middleware; without replicas it is left out."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.REPLICAS:
            raise MiddlewareNotUsed
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The response, read from the primary after a write."""
        writes = request.method not in SAFE and request.path.startswith(ADMIN_PATH)
        if not writes and COOKIE not in request.COOKIES:
            return self._get_response(request)
        with pin_to_primary():
            response = self._get_response(request)
        if writes:
            response.set_cookie(
                COOKIE,
                "1",
                max_age=PIN_SECONDS,
                path=ADMIN_PATH,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response
