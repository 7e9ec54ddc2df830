"""Public paths, served without Django's request handler.

They need no session, user or thread: 40 us each on the event loop that also serves the WebSockets, where Django's
signals and middlewares with their thread switches took 2 ms at best.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from io import BytesIO
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseServerError

from relay.views.front import front
from relay.views.health import health, ready
from relay.views.profiles import profiles
from relay.views.security import with_security_headers
from relay.views.sending import send_response
from relay.views.status import status

log = logging.getLogger("relay.http")

BODILESS = frozenset({204, 304})

View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponse]]

PUBLIC_VIEWS: dict[str, View] = {
    "": front,
    "health": health,
    "ready": ready,
    "api/status": status,
    "api/profiles": profiles,
}
"""Path without the leading slash -> view. Request bodies are ignored. relay.urls has the same, for WSGI servers.

Other packages add theirs when their apps are ready.
"""


class PublicViews:
    """ASGI application for `http`: public paths are served here, all others by `inner`."""

    def __init__(self, inner: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        self._inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI: one request."""
        view = PUBLIC_VIEWS.get(scope["path"][1:])
        if view is None:
            await self._inner(scope, receive, send)
            return
        response = await _answer(view, ASGIRequest(scope, BytesIO()))
        body = b"" if scope["method"] == "HEAD" else response.content
        if response.status_code not in BODILESS:
            response.headers.setdefault("Content-Length", str(len(response.content)))
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
        await send_response(response.status_code, headers, body, send)


async def _answer(view: View, request: ASGIRequest) -> HttpResponse:
    try:
        response = await view(request)
    except SuspiciousOperation:
        response = HttpResponseBadRequest(b"Bad request\n", content_type="text/plain")
    except Exception:
        log.exception("%s %s", request.method, request.path)
        response = HttpResponseServerError(b"Internal error\n", content_type="text/plain")
    return with_security_headers(request, response)
