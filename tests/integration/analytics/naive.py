"""The slow truth about the views: what they must hold, counted over a plain list of the events that are stored."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

Json = dict[str, Any]

DAY = 86_400
WEEK = 7 * DAY
PRIVATE = {4, 1059, 21059, 22242, 27235}


def expires_at(event: Json) -> int | None:
    return next((int(tag[1]) for tag in event["tags"] if tag[0] == "expiration"), None)


def alive(event: Json, now: int) -> bool:
    end = expires_at(event)
    return end is None or end > now


def within(event: Json, now: int, seconds: int) -> bool:
    return now - seconds < event["created_at"] <= now and alive(event, now)


def deed(event: Json) -> tuple[str, str, str] | None:
    """What, target, person."""
    targets = [tag for tag in event["tags"] if tag[0] == "e"]
    if not targets:
        return None
    last = targets[-1][1]
    if event["kind"] == 7 and event["content"] != "-":
        return "reactions", last, event["pubkey"]
    if event["kind"] in (6, 16):
        return "reposts", last, event["pubkey"]
    if event["kind"] == 1:
        by_marker = {tag[3] if len(tag) > 3 else "": tag[1] for tag in targets}
        for marker in ("reply", "root", ""):
            if marker in by_marker:
                return "replies", by_marker[marker], event["pubkey"]
    if event["kind"] == 9735:
        for tag in event["tags"]:
            if tag[0] == "description":
                request = json.loads(tag[1])
                if request["sig"] != "0" * 128:  # forged ones are made like that
                    return "zaps", last, request["pubkey"]
    return None


def popular(events: Iterable[Json], now: int) -> list[tuple[Any, ...]]:
    """Rows (rank, id, people, reactions, reposts, replies, zaps) in order."""
    stored = list(events)
    found = []
    for note in stored:
        if note["kind"] == 1 and within(note, now, WEEK):
            people: dict[str, set[str]] = defaultdict(set)
            for other in stored:
                done = deed(other)
                if done and within(other, now, WEEK) and done[1] == note["id"] and done[2] != note["pubkey"]:
                    people[done[0]].add(done[2])
            distinct = set().union(*people.values())
            if len(distinct) > 10:
                ways = [len(people[name]) for name in ("reactions", "reposts", "replies", "zaps")]
                found.append((-len(distinct), -sum(ways), -note["created_at"], note["id"], ways))
    found.sort()
    return [(rank, row[3], -row[0], *row[4]) for rank, row in enumerate(found, 1)]


def hashtags(events: Iterable[Json], now: int) -> list[tuple[Any, ...]]:
    """Rows (rank, hashtag, authors, authors before, events) in order."""
    now_by, before_by, uses = defaultdict(set), defaultdict(set), Counter[str]()
    for event in events:
        if event["kind"] == 1 and within(event, now, 2 * DAY):
            for word in {tag[1].lower() for tag in event["tags"] if tag[0] == "t"}:
                if event["created_at"] > now - DAY:
                    now_by[word].add(event["pubkey"])
                    uses[word] += 1
                else:
                    before_by[word].add(event["pubkey"])
    rows = [(-len(now_by[word]), len(before_by[word]), -uses[word], word) for word in now_by if len(now_by[word]) >= 3]
    return [(rank, word, -a, b, -n) for rank, (a, b, n, word) in enumerate(sorted(rows), 1)]


def authors(events: Iterable[Json], now: int) -> list[tuple[Any, ...]]:
    """Rows (rank, pubkey, events, days) in order: of the day of now and the six before."""
    first = now // DAY * DAY - 6 * DAY
    counted, days = Counter[str](), defaultdict(set)
    for event in events:
        if first <= event["created_at"] < first + WEEK and event["kind"] not in PRIVATE:
            counted[event["pubkey"]] += 1
            days[event["pubkey"]].add(event["created_at"] // DAY)
    rows = sorted((-n, -len(days[pubkey]), pubkey) for pubkey, n in counted.items())
    return [(rank, pubkey, -n, -d) for rank, (n, d, pubkey) in enumerate(rows, 1)]


def kinds(events: Iterable[Json], now: int) -> set[tuple[int, int, int]]:
    """Rows (hour, kind, events)."""
    begin = (now - WEEK) // DAY * DAY
    counted = Counter(
        (event["created_at"] // 3_600 * 3_600, event["kind"]) for event in events if event["created_at"] >= begin
    )
    return {(hour, kind, n) for (hour, kind), n in counted.items() if hour <= now}


def reported(events: Iterable[Json], now: int) -> dict[str, tuple[int, int, dict[str, int]]]:
    """Type and target -> reports, reporters, reasons."""
    names: dict[str, str] = {"p": "pubkey", "e": "event", "x": "blob"}
    given = [
        (f"{names[tag[0]]}:{tag[1]}", event["pubkey"], tag[2])
        for event in events
        if event["kind"] == 1984 and within(event, now, 30 * DAY)
        for tag in event["tags"]
        if tag[0] in names
    ]
    chosen: Callable[[str], list[tuple[str, str, str]]] = lambda key: [one for one in given if one[0] == key]  # noqa: E731
    return {
        key: (len(chosen(key)), len({who for _, who, _ in chosen(key)}), dict(Counter(why for *_, why in chosen(key))))
        for key in {key for key, _, _ in given}
    }
