"""The relay information document (NIP-11) over HTTP: the same bytes from every worker and node (11-8)."""

import hashlib
from collections.abc import Callable
from functools import cache

import orjson
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response

from relay.conf import Config, config
from relay.protocol.info import RelayIdentity, relay_information
from relay.protocol.limits import Limits

MEDIA_TYPE = "application/nostr+json"
MAX_AGE_SECONDS = 60
PREFLIGHT_SECONDS = 86_400

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*, Authorization",  # "*" alone does not stand for Authorization
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Expose-Headers": "ETag",
}


def _always(_conf: Config) -> bool:
    return True


FEATURES: tuple[tuple[int, Callable[[Config], bool]], ...] = (
    (1, _always),
    (11, _always),
    (40, _always),
)
"""Each NIP that the relay speaks, and whether it is switched on (11-7)."""


def supported_nips(conf: Config) -> tuple[int, ...]:
    """The numbers of the NIPs that are switched on, ascending."""
    return tuple(sorted(nip for nip, is_on in FEATURES if is_on(conf)))


@cache
def _document(identity: RelayIdentity, limits: Limits, nips: tuple[int, ...]) -> tuple[bytes, str]:
    """The document's text and its ETag."""
    text = orjson.dumps(relay_information(identity, limits, nips))
    return text, f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def information(request: HttpRequest) -> HttpResponseBase:
    """200 with the document, or 304 when the client has this very version."""
    conf = config()
    text, etag = _document(conf.identity, conf.limits, supported_nips(conf))
    fresh = HttpResponse(text, content_type=MEDIA_TYPE)
    fresh["Content-Length"] = str(len(text))
    response = get_conditional_response(request, etag=etag, response=fresh) or fresh
    for name, value in CORS.items():
        response[name] = value
    response["ETag"] = etag
    response["Cache-Control"] = f"public, max-age={MAX_AGE_SECONDS}"
    response["Vary"] = "Accept"
    return response


def preflight() -> HttpResponse:
    """What a browser asks before a page of another site may read the document (11-2)."""
    response = HttpResponse(status=204, headers=CORS)
    del response["Content-Type"]
    response["Allow"] = CORS["Access-Control-Allow-Methods"]
    response["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response
