"""`GET /api/profiles?pubkey=…&pubkey=…`: the newest profile of each author, for pages that show names and pictures.

Rule: an answer is as exact as one over the WebSocket, so a copy of it is asked for again each time (`no-cache`), which
costs a client that has it 304 and no body.
"""

from collections.abc import Sequence

import msgspec
from django.http import HttpRequest, HttpResponse

from relay.protocol.errors import Failed
from relay.protocol.keys import is_hex
from relay.protocol.nip19 import NotAName, decode, is_name
from relay.services.profiles import described
from relay.views.api import BadQuestion, answer, refusal, refuse_others
from relay.views.cors import unless_it_reads
from relay.views.health import started

MAX_PUBKEYS = 100
"""Authors of one request."""

MAX_BYTES = 4_194_304
"""Text of the events of one answer: a profile may be as large as an event may."""


async def profiles(request: HttpRequest) -> HttpResponse:
    """200 with `{"profiles": [...]}`, one for each author in the order of the request; 304 for who has this answer.

    `pubkey`: 64 hex digits, npub or nprofile, 1 to 100 times; doubles count once. An entry is described at
    `relay.services.profiles.described`. 400 names a wrong parameter, 413 more than 4 MiB of events, 503 says that the
    relay is starting or the database does not answer.
    """
    if (other := unless_it_reads(request)) is not None:
        return other
    try:
        return await _found(request, asked(request))
    except BadQuestion as error:
        return refusal(400, str(error))
    except TimeoutError:
        problem = "the relay is starting, or its database takes long; try again later"
    except Failed as error:
        problem = error.message
    return refusal(503, problem, retry_after_seconds=1)


def asked(request: HttpRequest) -> Sequence[str]:
    """The authors of a request, each once. Raises BadQuestion."""
    refuse_others(request.GET, {"pubkey"}, "there is pubkey alone")
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
        return refusal(413, "these profiles are larger than 4 MiB together: ask for fewer at once")
    body = msgspec.json.encode({"profiles": [described(key, found.get(key)) for key in pubkeys]})
    return answer(request, body, "public, no-cache")
