"""`GET /`: the NIP-11 document or the HTML front page, by the Accept header."""

from functools import lru_cache
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from relay.conf import Config, config
from relay.protocol.retention import Retention
from relay.services.retention import retention_in_force
from relay.views.cors import answer_other_methods
from relay.views.etag import conditional_response, etag_of
from relay.views.information import MEDIA_TYPE, information, supported_nips
from relay.views.nearer import NearerRegion, nearer_region, regions
from relay.views.negotiation import accepts
from relay.views.policy_text import nips, policies
from relay.views.security import page_policy

LINKED_SCHEMES = frozenset({"http", "https", "mailto", "nostr"})
"""A contact with another scheme (javascript:) is shown as text."""


async def front(request: HttpRequest) -> HttpResponse:
    """GET and HEAD: document or page, as Accept says (11-1, 11-7). OPTIONS: the CORS preflight (11-2)."""
    if (other := answer_other_methods(request)) is not None:
        return other
    if accepts(request.headers.get("Accept", ""), MEDIA_TYPE):
        return information(request)
    return _page(request, config())


def _page(request: HttpRequest, conf: Config) -> HttpResponse:
    text, etag = _rendered(conf, retention_in_force(), nearer_region(request))
    response = conditional_response(request, text, etag)
    response["Cache-Control"] = "private, no-cache" if regions.exist() else "no-cache"
    response["Vary"] = "Accept"
    has_images = bool(conf.identity.icon or conf.identity.banner)
    response["Content-Security-Policy"] = page_policy(conf.url, request.get_host(), has_images=has_images)
    return response


def _link(address: str) -> str:
    return address if urlsplit(address).scheme in LINKED_SCHEMES else ""


@lru_cache(maxsize=64)  # the retention changes with the lists; a page for each region that is nearer
def _rendered(conf: Config, retention: Retention, nearer: NearerRegion | None) -> tuple[bytes, str]:
    identity = conf.identity
    context = {
        "identity": identity,
        "contact_url": _link(identity.contact),
        "terms_url": _link(identity.terms_of_service),
        "relay_url": conf.url,
        "http_url": conf.url.replace("ws", "http", 1),
        "policies": policies(conf.limits, retention),
        "nips": nips(supported_nips(conf)),
        "nearer": nearer,
    }
    text = render_to_string("relay/front.html", context).encode()
    return text, etag_of(text)
