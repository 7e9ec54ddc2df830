"""Answers with the name of their version (ETag), so that who has a version need not be sent it again."""

import hashlib

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response


def etag_of(body: bytes) -> str:
    """The ETag of a body: 32 hex digits of its SHA-256, in quotes. The same in every process."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def versioned(request: HttpRequest, body: bytes, etag: str, content_type: str | None = None) -> HttpResponse:
    """200 with the body, 304 for who has it, or 412 when the request makes another version its condition.

    `etag` is the body's (`etag_of`); without a `content_type` it is Django's default, HTML.
    """
    fresh = HttpResponse(body, content_type=content_type)
    fresh["Content-Length"] = str(len(body))
    response = get_conditional_response(request, etag=etag, response=fresh) or fresh
    response["ETag"] = etag
    return response
