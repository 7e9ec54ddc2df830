"""JSON responses of the endpoints under /api/. Rule: every response allows CORS, and no error is cached."""

from collections.abc import Iterable

import msgspec
from django.http import HttpRequest, HttpResponse, QueryDict

from relay.views.cors import with_cors
from relay.views.etag import conditional_response, etag_of

JSON = "application/json"

MOST_FIELDS = 256
"""Of a query: a head has no room for more public keys. Django would read 1,000 in the event loop, 6 us each."""


class BadParameter(ValueError):
    """An invalid query parameter; the text names it and the allowed values."""


def query_of(request: HttpRequest) -> QueryDict:
    """The parameters of a request. Raises BadParameter for more than MOST_FIELDS."""
    if request.META.get("QUERY_STRING", "").count("&") >= MOST_FIELDS:
        raise BadParameter(f"a request has at most {MOST_FIELDS} parameters")
    return request.GET


def reject_unknown_parameters(given: Iterable[str], known: set[str], hint: str) -> None:
    """Raise BadParameter for the alphabetically first unknown name; `hint` names the known ones."""
    unknown = sorted(set(given) - known)
    if unknown:
        raise BadParameter(f"{unknown[0][:50]!r} is not a parameter: {hint}")


def json_response(request: HttpRequest, body: bytes, cache_control: str) -> HttpResponse:
    """200 with the JSON in `body`, or 304 (ETag)."""
    response = conditional_response(request, body, etag_of(body), JSON)
    response["Cache-Control"] = cache_control
    return with_cors(response)


def error_response(status: int, problem: str, *, retry_after_seconds: int | None = None) -> HttpResponse:
    """`{"error": problem}` with a status of 400 or more."""
    response = HttpResponse(msgspec.json.encode({"error": problem}), status=status, content_type=JSON)
    response["Cache-Control"] = "no-store"
    if retry_after_seconds is not None:
        response["Retry-After"] = str(retry_after_seconds)
    return with_cors(response)
