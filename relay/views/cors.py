"""What pages of other sites may read, and the two methods by which they do (11-2).

Rule: only what anybody may read, without a session or a cookie, is answered so.
"""

from typing import TypeVar

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase

Response = TypeVar("Response", bound=HttpResponseBase)

PREFLIGHT_SECONDS = 86_400

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*, Authorization",  # "*" alone does not stand for Authorization
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Expose-Headers": "ETag",
}


def unless_it_reads(request: HttpRequest) -> HttpResponse | None:
    """None for GET and HEAD. OPTIONS is answered with the preflight, any other method with 405."""
    if request.method == "OPTIONS":
        return preflight()
    return None if request.method in ("GET", "HEAD") else HttpResponseNotAllowed(["GET", "HEAD", "OPTIONS"])


def preflight() -> HttpResponse:
    """What a browser asks before a page of another site may read an answer (11-2)."""
    response = HttpResponse(status=204, headers=CORS)
    del response["Content-Type"]
    response["Allow"] = CORS["Access-Control-Allow-Methods"]
    response["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response


def for_all_sites(response: Response) -> Response:
    """The response, which pages of other sites may now read."""
    for name, value in CORS.items():
        response[name] = value
    return response
