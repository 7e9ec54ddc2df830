"""CORS headers and preflight (11-2). Rule: only for public responses that need no session or cookie."""

from typing import TypeVar

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase

Response = TypeVar("Response", bound=HttpResponseBase)

PREFLIGHT_SECONDS = 86_400

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*, Authorization",  # "*" does not include Authorization
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Expose-Headers": "ETag",
}


def answer_other_methods(request: HttpRequest) -> HttpResponse | None:
    """None for GET and HEAD; the preflight response for OPTIONS, 405 for other methods."""
    if request.method == "OPTIONS":
        return preflight()
    return None if request.method in ("GET", "HEAD") else HttpResponseNotAllowed(["GET", "HEAD", "OPTIONS"])


def preflight() -> HttpResponse:
    """204 with the CORS headers (11-2)."""
    response = HttpResponse(status=204, headers=CORS)
    del response["Content-Type"]
    response["Allow"] = CORS["Access-Control-Allow-Methods"]
    response["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response


def with_cors(response: Response) -> Response:
    """The response with CORS headers added."""
    for name, value in CORS.items():
        response[name] = value
    return response
