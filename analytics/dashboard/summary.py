"""The dashboard's lists of popular notes and frequent kinds; empty if the materialized view is."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Sum

from analytics.dashboard.number_format import count
from analytics.models import EventsByKindAndHour, PopularEvent
from analytics.popularity import DAY_SECONDS
from relay.admin.formatting import kind_name
from relay.models import Event

OTHER_KINDS = -1
"""The view's number for all kinds that are not among the most frequent."""


@dataclass(frozen=True, slots=True)
class Note:
    """A popular note; `content`: untrusted text, "" after a deletion."""

    row: PopularEvent
    content: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind, its number of events (formatted), and that number in percent of the most frequent kind's."""

    name: str
    events: str
    share: int


def contents(ids: Sequence[str]) -> dict[str, str]:
    """Id (hex) -> content, untrusted text; events no longer stored are missing."""
    return {event.id: str(json.loads(event.json)["content"]) for event in Event.objects.filter(id__in=ids)}


def popular(most: int) -> list[Note]:
    """The `most` popular notes, by rank."""
    rows = list(PopularEvent.objects.order_by("rank")[:most])
    texts = contents([row.event_id for row in rows])
    return [Note(row, texts.get(row.event_id, "")) for row in rows]


def top_kinds(most: int) -> list[Kind]:
    """The `most` frequent kinds of the last 24 hours (by created_at)."""
    since = int(time.time()) - DAY_SECONDS
    found = (
        EventsByKindAndHour.objects.filter(hour__gt=since)
        .values_list("kind")
        .annotate(total=Sum("events"))
        .order_by("-total", "kind")[:most]
    )
    counted = [(int(kind), int(total)) for kind, total in found]
    highest = max((total for _, total in counted), default=1)
    return [
        Kind("others" if kind == OTHER_KINDS else kind_name(kind), count(total), round(100 * total / highest))
        for kind, total in counted
    ]
