"""`GET /api/profiles?pubkey=…&pubkey=…`: the newest profile of each author, for pages that show names and pictures.

Rule: an answer is as exact as one over the WebSocket, so a copy of it is asked for again each time (`no-cache`), which
costs a client that has it 304 and no body.
"""

import hashlib
from collections.abc import Sequence

import msgspec
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response

from relay.protocol.errors import Failed
from relay.protocol.keys import is_hex
from relay.protocol.nip19 import NotAName, decode, is_name
from relay.services.profiles import described
from relay.views.health import started
from relay.views.information import CORS, preflight

MAX_PUBKEYS = 100
"""Authors of one request."""

MAX_BYTES = 4_194_304
"""Text of the events of one answer: a profile may be as large as an event may."""


class BadQuestion(ValueError):
    """a parameter that cannot be used; the text says which and what it may be"""


async def profiles(request: HttpRequest) -> HttpResponseBase:
    """200 with `{"profiles": [...]}`, one for each author in the order of the request; 304 for who has this answer.

    `pubkey`: 64 hex digits, npub or nprofile, 1 to 100 times; doubles count once. An entry is described at
    `relay.services.profiles.described`. 400 names a wrong parameter, 413 more than 4 MiB of events, 503 says that the
    relay is starting or the database does not answer.
    """
    if request.method == "OPTIONS":
        return preflight()
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD", "OPTIONS"])
    try:
        return await _found(request, asked(request))
    except BadQuestion as error:
        return _told(400, str(error))
    except TimeoutError:
        return _told(503, "the relay is starting, or its database takes long; try again later")
    except Failed as error:
        return _told(503, error.message)


def asked(request: HttpRequest) -> Sequence[str]:
    """The authors of a request, each once. Raises BadQuestion."""
    unknown = sorted(request.GET.keys() - {"pubkey"})
    if unknown:
        raise BadQuestion(f"{unknown[0][:50]!r} is no parameter: there is pubkey alone")
    pubkeys = list(dict.fromkeys(map(_pubkey, request.GET.getlist("pubkey"))))
    if not 1 <= len(pubkeys) <= MAX_PUBKEYS:
        raise BadQuestion(f"pubkey must be given from 1 to {MAX_PUBKEYS} times")
    return pubkeys


def _pubkey(text: str) -> str:
    if len(text) == 64 and is_hex(text):
        return text
    if is_name(text):
        try:
            name = decode(text)
        except NotAName as error:
            raise BadQuestion(f"pubkey cannot be read: {error}") from None
        if name.form in ("npub", "nprofile") and name.author is not None:
            return name.author
    raise BadQuestion("pubkey must be 64 lower-case hex digits, an npub or an nprofile")


async def _found(request: HttpRequest, pubkeys: Sequence[str]) -> HttpResponse:
    found = await (await started()).profiles.newest(pubkeys)
    if sum(len(row.json) for row in found.values()) > MAX_BYTES:
        return _told(413, "these profiles are larger than 4 MiB together: ask for fewer at once")
    return _answer(request, msgspec.json.encode({"profiles": [described(key, found.get(key)) for key in pubkeys]}))


def _answer(request: HttpRequest, body: bytes) -> HttpResponse:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    fresh = HttpResponse(body, content_type="application/json")
    response = get_conditional_response(request, etag=etag, response=fresh) or fresh
    assert isinstance(response, HttpResponse)
    response["ETag"] = etag
    response["Cache-Control"] = "public, no-cache"
    return _for_all(response)


def _told(status: int, problem: str) -> HttpResponse:
    response = HttpResponse(msgspec.json.encode({"error": problem}), status=status, content_type="application/json")
    response["Cache-Control"] = "no-store"
    if status == 503:
        response["Retry-After"] = "1"
    return _for_all(response)


def _for_all(response: HttpResponse) -> HttpResponse:
    for name, value in CORS.items():
        response[name] = value
    return response
