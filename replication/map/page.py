"""The page of the map, below /admin/ so that its session and CSP apply."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from replication.geo.sphere import Place
from replication.map.projection import HEIGHT, TOP, WIDTH, Spot, spots
from replication.map.rows import RegionRow, lane_rows, region_rows

PERMISSION = "replication.view_peerlane"


@dataclass(frozen=True, slots=True)
class Marker:
    """A region on the map: the number that its row has, and its spot."""

    number: int
    row: RegionRow
    spot: Spot


def region_map(request: HttpRequest) -> HttpResponse:
    """200 with the map. Raises PermissionDenied."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    context = {
        **admin.site.each_context(request),
        "title": "Region map",
        "box": f"0 {TOP} {WIDTH} {HEIGHT}",
        "top": TOP,
        **figures(),
    }
    return TemplateResponse(request, "admin/replication/map.html", context)


def figures() -> dict[str, Any]:
    """What the template shows; `error` if the database did not answer."""
    now = timezone.now()
    try:
        rows, lanes = region_rows(now), lane_rows()
    except DatabaseError as error:
        return {"error": str(error).strip()}
    placed = [(number, row) for number, row in enumerate(rows, 1) if row.location is not None]
    found = spots([Place(*row.location) for _, row in placed if row.location is not None])
    markers = [Marker(number, row, spot) for (number, row), spot in zip(placed, found, strict=True)]
    return {
        "now": now,
        "rows": [(number, row) for number, row in enumerate(rows, 1)],
        "lanes": lanes,
        "markers": markers,
        "home": next((marker for marker in markers if marker.row.is_local), None),
        "unplaced": [row.name for row in rows if row.location is None],
    }
