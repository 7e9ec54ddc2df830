"""What the JSON addresses under /api/ have in common: how they answer, and how they say what is wrong.

Rule: pages of other sites may read every answer, and no refusal is kept by a cache.
"""

from collections.abc import Iterable

import msgspec
from django.http import HttpRequest, HttpResponse

from relay.views.cors import for_all_sites
from relay.views.versions import etag_of, versioned

JSON = "application/json"


class BadQuestion(ValueError):
    """A parameter that cannot be used; the text says which and what it may be."""


def refuse_others(given: Iterable[str], known: set[str], hint: str) -> None:
    """Raises BadQuestion for the first name, by the alphabet, that is not known; `hint` says which are."""
    unknown = sorted(set(given) - known)
    if unknown:
        raise BadQuestion(f"{unknown[0][:50]!r} is no parameter: {hint}")


def answer(request: HttpRequest, body: bytes, cache_control: str) -> HttpResponse:
    """200 with the JSON of `body`, or 304 for who has it."""
    response = versioned(request, body, etag_of(body), JSON)
    response["Cache-Control"] = cache_control
    return for_all_sites(response)


def refusal(status: int, problem: str, *, retry_after_seconds: int | None = None) -> HttpResponse:
    """`{"error": problem}` with a status of 400 or more."""
    response = HttpResponse(msgspec.json.encode({"error": problem}), status=status, content_type=JSON)
    response["Cache-Control"] = "no-store"
    if retry_after_seconds is not None:
        response["Retry-After"] = str(retry_after_seconds)
    return for_all_sites(response)
