"""The operators' lists as one process holds them: the keys, events, networks and kinds that it refuses or allows. Pure.

They are no events: they stand in one table (relay_list_entry), whose newest version every process reads with the
position from the primary, and are read from there alone. A look-up is one hash.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from relay.policies.networks import NetworkTable, network_in
from relay.protocol.retention import Rule, parse_rule, retention_of
from relay.storage.primary import ListRow

FOR_EVER: Final = 0

MAX_ENTRIES: Final = 100_000
"""Of one list: every process holds them, in about 200 bytes each."""


class ListName(StrEnum):
    """The lists. Keys and ids are 64 hex digits, kinds decimal, networks as `relay.policies.networks.written`."""

    BANNED_KEY = "banned_key"
    ALLOWED_KEY = "allowed_key"
    BANNED_EVENT = "banned_event"
    BLOCKED_NETWORK = "blocked_network"
    ALLOWED_KIND = "allowed_kind"
    DENIED_KIND = "denied_kind"
    ENDED_CONNECTION = "ended_connection"  # by the name of a connection; each is ended once
    RETENTION = "retention"  # rules of `relay.protocol.retention`
    CLOSED_REPORT = "closed_report"  # targets of reports, which processes need not hold


_NOT_HELD = frozenset({ListName.CLOSED_REPORT})


class Lists:
    """All lists at one version; empty ones restrict nothing. Loop thread only."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        """`rules`: those of retention that the settings have; the lists may add some."""
        self.version = 0
        self.banned_keys: dict[str, int] = {}
        self.allowed_keys: dict[str, int] = {}
        self.banned_events: dict[str, int] = {}
        self.networks = NetworkTable()
        self.allowed_kinds: dict[int, int] = {}
        self.denied_kinds: dict[int, int] = {}
        self.ended_connections: dict[str, int] = {}
        self.rules = tuple(rules)
        self.retention = retention_of(self.rules)
        self._listed_rules: dict[str, Rule] = {}

    def apply(self, changed: Iterable[ListRow]) -> None:
        """Take entries in the order of versions. One that this release of the software cannot read is left out."""
        for entry in changed:
            self.version = max(self.version, entry.version)
            try:
                self._take(entry)
            except ValueError:
                continue

    def _take(self, entry: ListRow) -> None:
        if entry.list in _NOT_HELD:
            return
        if entry.list == ListName.BLOCKED_NETWORK:
            network = network_in(entry.key)
            if entry.removed:
                self.networks.remove(network)
            else:
                self.networks.put(network, entry.until)
            return
        if entry.list == ListName.RETENTION:
            self._listed_rules.pop(entry.key, None)
            if not entry.removed:
                self._listed_rules[entry.key] = parse_rule(entry.key)
            self.retention = retention_of(tuple(sorted({*self.rules, *self._listed_rules.values()}, key=str)))
            return
        table, key = self._place(ListName(entry.list), entry.key)
        if entry.removed:
            table.pop(key, None)
        else:
            table[key] = entry.until

    def _place(self, name: ListName, key: str) -> tuple[dict[object, int], object]:
        tables: dict[ListName, dict[object, int]] = {
            ListName.BANNED_KEY: self.banned_keys,  # type: ignore[dict-item]
            ListName.ALLOWED_KEY: self.allowed_keys,  # type: ignore[dict-item]
            ListName.BANNED_EVENT: self.banned_events,  # type: ignore[dict-item]
            ListName.ALLOWED_KIND: self.allowed_kinds,  # type: ignore[dict-item]
            ListName.DENIED_KIND: self.denied_kinds,  # type: ignore[dict-item]
            ListName.ENDED_CONNECTION: self.ended_connections,  # type: ignore[dict-item]
        }
        is_number = name in (ListName.ALLOWED_KIND, ListName.DENIED_KIND)
        return tables[name], int(key) if is_number else key

    def replace(self, other: "Lists") -> None:
        """Become `other` in one step."""
        self.__dict__.update(other.__dict__)

    def forget_ended(self, now: int) -> None:
        """Drop ended connections whose time is over."""
        self.ended_connections = {name: until for name, until in self.ended_connections.items() if until > now}

    def is_banned(self, key: str, now: int) -> bool:
        """Whether the public key may not publish, nor log in."""
        until = self.banned_keys.get(key)
        return until is not None and (until == FOR_EVER or until > now)

    def is_blocked(self, host: str, now: int) -> bool:
        """Whether connections from this address are refused."""
        return any(until == FOR_EVER or until > now for until in self.networks.values(host))

    def sizes(self) -> dict[str, int]:
        """Entries held by list, for the metrics."""
        return {
            ListName.BANNED_KEY: len(self.banned_keys),
            ListName.ALLOWED_KEY: len(self.allowed_keys),
            ListName.BANNED_EVENT: len(self.banned_events),
            ListName.BLOCKED_NETWORK: len(self.networks),
            ListName.ALLOWED_KIND: len(self.allowed_kinds),
            ListName.DENIED_KIND: len(self.denied_kinds),
            ListName.RETENTION: len(self._listed_rules),
        }
