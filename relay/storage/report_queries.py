"""The newest reports (kind 1984, NIP-56), grouped by what they report. Untrusted text."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from relay.models import Event, ListEntry
from relay.storage.admin_queries import rows_in_time

REPORT = 1984
LOOKED_AT = 1_000
"""The newest reports; older ones wait until these are closed."""

MOST_BYTES = 16_384
"""Reports with more JSON text are left out: 1,000 of the longest that the relay takes would be 1 GB."""

_HEX = frozenset("0123456789abcdef")


@dataclass(slots=True)
class Reported:
    """An event (`is_event`) or a public key (hex), with the reports about it. `author`: of the event, "" if unknown; of
    one that is not stored it is what a report says, which may be a lie.
    """

    target: str
    is_event: bool
    author: str
    count: int = 0
    newest: int = 0
    reporters: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    text: str = ""  # of the newest report
    json: str = ""  # of the event, "" if it is not stored


def open_reports(closed_list: str) -> tuple[list[Reported], bool]:
    """What is reported and was not closed since (entries of `closed_list`), the most reporters first; and whether all
    reports were looked at. Raises Failed if the database takes too long.
    """
    reports = Event.objects.filter(kind=REPORT).order_by("-created_at", "id").only("pubkey", "created_at", "json")
    rows = rows_in_time(reports.extra(where=["octet_length(json) <= %s"], params=[MOST_BYTES])[: LOOKED_AT + 1])
    parsed = [(row, report) for row in rows[:LOOKED_AT] for report in _parse(row)]
    closed = {
        entry.key: int(entry.changed_at.timestamp())
        for entry in ListEntry.objects.filter(
            list=closed_list, removed=False, key__in={target for _, (target, *_) in parsed}
        )
    }
    found: dict[str, Reported] = {}
    for row, (target, is_event, author, reason, text) in parsed:
        if closed.get(target, -1) >= row.created_at:
            continue
        reported = found.setdefault(target, Reported(target, is_event, author, newest=row.created_at, text=text))
        reported.count += 1
        reported.reporters.add(row.pubkey)
        reported.reasons[reason] += 1
    ranked = sorted(found.values(), key=lambda one: (-len(one.reporters), -one.newest))
    return ranked, len(rows) <= LOOKED_AT


def with_events(reported: list[Reported]) -> None:
    """Read the events of these targets."""
    events = {row.id: row for row in Event.objects.filter(id__in=[one.target for one in reported if one.is_event])}
    for one in reported:
        if one.target in events:
            one.json, one.author = events[one.target].json, events[one.target].pubkey


def _parse(row: Event) -> Iterator[tuple[str, bool, str, str, str]]:
    """The target of a report: its event if it names one, else its key; with author, reason and text."""
    event = json.loads(row.json)
    named = [tag for tag in event["tags"] if len(tag) > 1 and tag[0] in ("e", "p") and _is_key(tag[1])]
    tag = next((tag for tag in named if tag[0] == "e"), next(iter(named), None))
    if tag is None:
        return
    author = next((other[1] for other in named if other[0] == "p"), "")
    reason = next((other[2] for other in [tag, *named] if len(other) > 2 and other[2]), "")
    yield tag[1], tag[0] == "e", author, reason[:40], event["content"][:500]


def _is_key(text: str) -> bool:
    return len(text) == 64 and _HEX.issuperset(text)
