"""`GET /api/status`: live figures as JSON, for the front page and for monitoring."""

import msgspec
from django.http import HttpRequest, HttpResponse

from relay.protocol.errors import Failed
from relay.views.health import started_relay


async def status(_request: HttpRequest) -> HttpResponse:
    """200 with the fields of `relay.services.status.RelayFigures`; 503 while the relay is not started."""
    try:
        relay = await started_relay()
    except (TimeoutError, Failed):
        return HttpResponse(b"{}", status=503, content_type="application/json", headers={"Cache-Control": "no-store"})
    figures = await relay.status.figures()
    return HttpResponse(
        msgspec.json.encode(figures), content_type="application/json", headers={"Cache-Control": "no-store"}
    )
