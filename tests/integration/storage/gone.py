"""What is served, by the plainest of rules (NIP-09, NIP-62): a list of all that came, in order, and nothing clever."""

from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]

WRAP = 1059
INDELIBLE = (5, 62)


def address(event: Json) -> tuple[Any, ...] | None:
    """What only one event may stand at (01-K02, 01-K03)."""
    kind = event["kind"]
    if kind in {0, 3} or 10_000 <= kind < 20_000:
        return event["pubkey"], kind, ""
    if 30_000 <= kind < 40_000:
        values = [tag[1] if len(tag) > 1 else "" for tag in event["tags"] if tag[:1] == ["d"]]
        return event["pubkey"], kind, values[0] if values else ""
    return None


def named(event: Json, letter: str) -> list[str]:
    return [tag[1] for tag in event["tags"] if tag[:1] == [letter] and len(tag) > 1]


def owners(event: Json) -> set[str]:
    return {event["pubkey"], *(named(event, "p") if event["kind"] == WRAP else [])}


def vanishes(event: Json) -> bool:
    return event["kind"] == 62 and bool({"ALL_RELAYS", "wss://relay.example.com"} & set(named(event, "relay")))


def names_address(deletion: Json, event: Json) -> bool:
    place = address(event)
    if place is None or place[0] != deletion["pubkey"] or event["created_at"] > deletion["created_at"]:
        return False
    _, kind, d = place
    texts = [f"{kind}:{place[0]}:{d}"] + ([f"{kind}:{place[0]}"] if kind < 30_000 else [])
    return not set(texts).isdisjoint(named(deletion, "a"))


def newer(event: Json, other: Json) -> bool:
    return (-event["created_at"], event["id"]) < (-other["created_at"], other["id"])


class Served:
    """The events that a relay serves (each to its audience), and its answers."""

    def __init__(self) -> None:
        self.known: dict[str, Json] = {}
        self.deletions: list[Json] = []
        self.vanished: dict[str, Json] = {}
        self.tombstones: set[str] = set()  # of gift wraps that went with a recipient, and of what operators removed
        self.heads: dict[tuple[Any, ...], Json] = {}

    def after(self, events: Iterable[Json]) -> "Served":
        """What it becomes if these come as well."""
        found = Served()
        found.known, found.deletions, found.heads = dict(self.known), list(self.deletions), dict(self.heads)
        found.vanished, found.tombstones = dict(self.vanished), set(self.tombstones)
        for event in events:
            found.take(event)
        return found

    def without(self, event_id: str) -> "Served":
        """What it becomes if an operator removes the event, which may come later only."""
        found = self.after([])
        found.known.pop(event_id, None)
        found.tombstones.add(event_id)
        return found

    def ids(self) -> set[str]:
        return set(self.known)

    def take(self, event: Json) -> str:
        """The answer: stored, duplicate, outdated or deleted."""
        if vanishes(event):
            return self._vanish(event)
        request = self.vanished.get(event["pubkey"])
        if event["id"] in self.tombstones or (request and event["created_at"] <= request["created_at"]):
            return "deleted"
        place = address(event)
        head = self.heads.get(place) if place else None
        if event["id"] in self.known:
            return "duplicate"
        deleted = self._is_deleted(event)
        if place:
            if head and not newer(event, head):
                return "deleted" if deleted else "outdated"
            self.heads[place] = event
            if head:
                self.known.pop(head["id"], None)
        if deleted:
            return "deleted"
        self.known[event["id"]] = event
        if event["kind"] == 5:
            self.deletions.append(event)
            for other in list(self.known.values()):
                if self._deletes(event, other):
                    del self.known[other["id"]]
        return "stored"

    def _deletes(self, deletion: Json, event: Json) -> bool:
        if event["kind"] in INDELIBLE:
            return False
        by_id = event["id"] in named(deletion, "e") and deletion["pubkey"] in owners(event)
        return by_id or names_address(deletion, event)

    def _is_deleted(self, event: Json) -> bool:
        return any(self._deletes(deletion, event) for deletion in self.deletions)

    def _vanish(self, request: Json) -> str:
        key, until = request["pubkey"], request["created_at"]
        before = self.vanished.get(key)
        if before and before["id"] == request["id"]:
            return "duplicate"
        if before and before["created_at"] >= until:
            return "stored"
        self.vanished[key] = request
        for event in list(self.known.values()):
            if event["created_at"] <= until and key in owners(event):
                del self.known[event["id"]]
                if event["pubkey"] != key:
                    self.tombstones.add(event["id"])
        return "stored"


def served(events: Iterable[Json]) -> Served:
    found = Served()
    for event in events:
        found.take(event)
    return found


def answers(events: Sequence[Json]) -> list[str]:
    found = Served()
    return [found.take(event) for event in events]
