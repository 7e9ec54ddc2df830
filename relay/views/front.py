"""The relay's address over HTTP: the NIP-11 document for programs, a page for people."""

from functools import cache
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from relay.conf import Config, config
from relay.views.cors import unless_it_reads
from relay.views.information import MEDIA_TYPE, information, supported_nips
from relay.views.negotiation import accepts
from relay.views.security import page_policy
from relay.views.versions import etag_of, versioned
from relay.views.wording import nips, policies

LINKED_SCHEMES = frozenset({"http", "https", "mailto", "nostr"})
"""A contact of another scheme is shown as text: the operator's setting, but not necessarily the operator's care."""


async def front(request: HttpRequest) -> HttpResponse:
    """GET and HEAD: document or page, as Accept says (11-1, 11-7). OPTIONS: the CORS preflight (11-2)."""
    if (other := unless_it_reads(request)) is not None:
        return other
    if accepts(request.headers.get("Accept", ""), MEDIA_TYPE):
        return information(request)
    return _page(request, config())


def _page(request: HttpRequest, conf: Config) -> HttpResponse:
    text, etag = _rendered(conf)
    response = versioned(request, text, etag)
    response["Cache-Control"] = "no-cache"
    response["Vary"] = "Accept"
    has_images = bool(conf.identity.icon or conf.identity.banner)
    response["Content-Security-Policy"] = page_policy(conf.url, request.get_host(), has_images=has_images)
    return response


def _link(address: str) -> str:
    return address if urlsplit(address).scheme in LINKED_SCHEMES else ""


@cache
def _rendered(conf: Config) -> tuple[bytes, str]:
    identity = conf.identity
    context = {
        "identity": identity,
        "contact_url": _link(identity.contact),
        "terms_url": _link(identity.terms_of_service),
        "relay_url": conf.url,
        "http_url": conf.url.replace("ws", "http", 1),
        "policies": policies(conf.limits),
        "nips": nips(supported_nips(conf)),
    }
    text = render_to_string("relay/front.html", context).encode()
    return text, etag_of(text)
