"""Static files from whitenoise's index, served without a thread.

Whitenoise's own middleware is synchronous: under ASGI Django warns and streams every file through a thread.
"""

import contextlib
from collections.abc import Awaitable, Callable

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Replaces WhiteNoiseMiddleware; same settings."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        super().__init__(get_response)
        self._inner = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Django: one request."""
        found = self.find_file(request.path_info) if self.autorefresh else self.files.get(request.path_info)
        return await self._inner(request) if found is None else self.serve(found, request)

    @staticmethod
    def serve(static_file: object, request: HttpRequest) -> HttpResponse:
        """200 with the file, 206 with a range of it, or 304."""
        served = static_file.get_response(request.method, request.META)  # type: ignore[attr-defined]
        with served.file or contextlib.nullcontext() as file:
            response = HttpResponse(file.read() if file else b"", status=int(served.status))
        del response["Content-Type"]
        for name, value in served.headers:
            response[name] = value
        return response
