"""`GET /api/profiles?pubkey=…&pubkey=…`: the newest profile (kind 0) of each author.

Rule: as current as an answer over the WebSocket, therefore `no-cache`: clients revalidate by ETag.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from django.http import HttpRequest, HttpResponse

from relay.protocol.errors import Failed, RateLimited
from relay.protocol.keys import is_hex
from relay.protocol.nip19 import NotAName, decode, is_name
from relay.services.profiles import described
from relay.storage.profiles import MOST_BYTES, TooLarge
from relay.transport.admission import address_of
from relay.views.api import BadParameter, error_response, json_response, query_of, reject_unknown_parameters
from relay.views.cors import answer_other_methods
from relay.views.health import started_relay

MAX_PUBKEYS = 100
"""Per request."""

MAX_BYTES = MOST_BYTES
"""JSON of the events of one response, whether they come from copies or from PostgreSQL."""


async def profiles(request: HttpRequest) -> HttpResponse:
    """200 with `{"profiles": [...]}`, one for each author in the order of the request, or 304 (ETag).

    `pubkey`: 64 hex digits, npub or nprofile, 1 to 100 times; duplicates count once. Entries:
    `relay.services.profiles.described`. 400: invalid parameter; 413: more than 4 MiB of events; 429: the client's
    network asks too much; 503: the relay is starting or the database does not answer.
    """
    if (other := answer_other_methods(request)) is not None:
        return other
    try:
        return await _response(request)
    except BadParameter as error:
        return error_response(400, str(error))
    except RateLimited as error:
        return error_response(429, error.message, retry_after_seconds=1)
    except TimeoutError:
        problem = "the relay is starting, or its database takes long; try again later"
    except Failed as error:
        problem = error.message
    return error_response(503, problem, retry_after_seconds=1)


def requested_pubkeys(request: HttpRequest) -> Sequence[str]:
    """The distinct pubkeys (hex) of a request. Raises BadParameter."""
    query = query_of(request)
    reject_unknown_parameters(query, {"pubkey"}, "the only one is pubkey")
    pubkeys = list(dict.fromkeys(map(_pubkey, query.getlist("pubkey"))))
    if not 1 <= len(pubkeys) <= MAX_PUBKEYS:
        raise BadParameter(f"pubkey must be given from 1 to {MAX_PUBKEYS} times")
    return pubkeys


def _pubkey(text: str) -> str:
    if len(text) == 64 and is_hex(text):
        return text
    if is_name(text):
        try:
            name = decode(text)
        except NotAName as error:
            raise BadParameter(f"pubkey cannot be read: {error}") from None
        if name.form in ("npub", "nprofile") and name.author is not None:
            return name.author
    raise BadParameter("pubkey must be 64 lower-case hex digits, an npub or an nprofile")


async def _response(request: HttpRequest) -> HttpResponse:
    relay = await started_relay()
    address = address_of(request.META.get("REMOTE_ADDR"))
    if not relay.rates.take_question(address):
        raise RateLimited("too many requests, slow down")
    pubkeys = requested_pubkeys(request)
    try:
        async with asyncio.timeout(relay.config.query_seconds):
            found = await relay.profiles.newest(pubkeys, relay.connections.owner(address))
        if sum(len(row.json) for row in found.values()) > MAX_BYTES:
            raise TooLarge
    except TooLarge:
        return error_response(413, "these profiles are larger than 4 MiB together: ask for fewer at once")
    body = msgspec.json.encode({"profiles": [described(key, found.get(key)) for key in pubkeys]})
    return json_response(request, body, "public, no-cache")
