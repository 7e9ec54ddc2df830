"""`GET /api/route`: the region that serves the client best.

Rule: the address is that of the connection, or of the header of a trusted proxy; a client cannot ask for another one.
"""

from urllib.parse import urlsplit

import msgspec
from django.http import HttpRequest, HttpResponse

from relay.conf import config
from relay.metrics import counters
from relay.views.api import BadParameter, error_response, json_response, query_of, reject_unknown_parameters
from relay.views.cors import answer_other_methods, with_cors
from relay.views.negotiation import accepts
from replication.geo.choice import Decision
from replication.geo.routing import page_of, routing

CACHE_CONTROL = "private, max-age=30"
"""A client may ask again later; a shared cache must not keep an answer that depends on the client's address."""


class Route(msgspec.Struct, frozen=True):
    """The answer. `region`: None where there are no regions; `distance_km`: None if it is not known.

    `reason`: `replication.geo.choice.Reason`; `relays`: URLs, the preferred first.
    """

    region: str | None
    local: bool
    distance_km: int | None
    relays: tuple[str, ...]
    reason: str


async def route(request: HttpRequest) -> HttpResponse:
    """200 with `Route` as JSON; to browsers 307 to the front page of another region, if that is nearer.

    A region never redirects to itself, nor to this path, so there is no circle. 400: a parameter is given.
    """
    if (other := answer_other_methods(request)) is not None:
        return other
    try:
        reject_unknown_parameters(query_of(request), set(), "there is none")
    except BadParameter as error:
        return error_response(400, str(error))
    decision = routing().decide(request.META.get("REMOTE_ADDR", ""))
    region = decision.region
    counters.routes[f"{decision.reason}/{region.name if region else ''}"] += 1
    if region is not None and not region.is_local and accepts(request.headers.get("Accept", ""), "text/html"):
        response = _redirect(page_of(region))
    else:
        response = json_response(request, msgspec.json.encode(_answer(decision)), CACHE_CONTROL)
    response["Vary"] = "Accept"
    return response


def _answer(decision: Decision) -> Route:
    region = decision.region
    km = None if decision.km is None else round(decision.km)
    if region is None:
        return Route(None, True, km, (config().url,), decision.reason)
    return Route(region.name, region.is_local, km, region.relay_urls, decision.reason)


def _redirect(page: str) -> HttpResponse:
    parts = urlsplit(page)
    text = f"The nearest region is at {parts.netloc}\n"
    response = HttpResponse(text, status=307, content_type="text/plain; charset=utf-8")
    response["Location"] = page
    response["Cache-Control"] = CACHE_CONTROL
    return with_cors(response)
