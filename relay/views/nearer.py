"""What front page and NIP-11 document say of another region that is nearer to a client.

The relay knows no regions: `replication` says here how they are found.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class NearerRegion:
    """Another region of this relay. `urls`: ws:// or wss://, one or more; `page`: its front page, http:// or https://."""

    name: str
    urls: tuple[str, ...]
    page: str


@dataclass(slots=True)
class Regions:
    """`exist`: False while there is no other region; `nearer`: the one that is nearer to an address than this."""

    exist: Callable[[], bool] = lambda: False
    nearer: Callable[[str], NearerRegion | None] = lambda _address: None


regions = Regions()


def nearer_region(request: HttpRequest) -> NearerRegion | None:
    """The other region that is nearer to the client of a request, None if there is none."""
    return regions.nearer(request.META.get("REMOTE_ADDR", "")) if regions.exist() else None
