"""The relay information document (NIP-11): the same bytes from every worker and instance (11-8).

Where there are regions, a client to which another one is nearer finds it in `nearer_region`.
"""

from collections.abc import Callable
from functools import lru_cache

import orjson
from django.http import HttpRequest, HttpResponse

from relay.conf import Config, config
from relay.protocol.info import RelayIdentity, relay_information
from relay.protocol.limits import Limits
from relay.protocol.retention import Retention
from relay.services.retention import retention_in_force
from relay.views.cors import with_cors
from relay.views.etag import conditional_response, etag_of
from relay.views.nearer import NearerRegion, nearer_region, regions

MEDIA_TYPE = "application/nostr+json"
MAX_AGE_SECONDS = 60


def _always(_conf: Config) -> bool:
    return True


FEATURES: tuple[tuple[int, Callable[[Config], bool]], ...] = (
    (1, _always),
    (4, _always),
    (9, _always),
    (11, _always),
    (13, lambda conf: conf.limits.asks_work),
    (17, _always),
    (40, _always),
    (42, _always),
    (59, _always),
    (62, _always),
    (67, _always),
    (70, _always),
)
"""Each supported NIP and whether the settings enable it (11-7)."""


def supported_nips(conf: Config) -> tuple[int, ...]:
    """The numbers of the enabled NIPs, ascending."""
    return tuple(sorted(nip for nip, is_on in FEATURES if is_on(conf)))


@lru_cache(maxsize=64)  # the retention changes with the lists; a document for each region that is nearer
def _document(
    identity: RelayIdentity, limits: Limits, nips: tuple[int, ...], retention: Retention, nearer: NearerRegion | None
) -> tuple[bytes, str]:
    """The document's text and its ETag."""
    document = relay_information(identity, limits, nips, retention)
    if nearer is not None:
        document["nearer_region"] = {"name": nearer.name, "relays": nearer.urls}
    text = orjson.dumps(document)
    return text, etag_of(text)


def information(request: HttpRequest) -> HttpResponse:
    """200 with the document, or 304 (ETag)."""
    conf = config()
    text, etag = _document(
        conf.identity, conf.limits, supported_nips(conf), retention_in_force(), nearer_region(request)
    )
    response = conditional_response(request, text, etag, MEDIA_TYPE)
    # A shared cache must not give the document of one client to another that is nearer to another region.
    response["Cache-Control"] = f"{'private' if regions.exist() else 'public'}, max-age={MAX_AGE_SECONDS}"
    response["Vary"] = "Accept"
    return with_cors(response)
