"""This region's side of a comparison: the items of a window, where to divide it, the texts of events, refused ids."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import orjson
import psycopg
from django.conf import settings
from msgspec import Struct

from relay.protocol.negentropy.encoding import ID_BYTES, TIME_BYTES
from relay.protocol.negentropy.items import ITEM_BYTES, Items
from relay.storage.database import conninfo
from replication.reconcile.messages import FETCH_BYTES, MOST_ITEMS, PLAN_WINDOWS, WINDOW_ITEMS, Part, Stage
from replication.reconcile.scope import Floor, Scope
from replication.reconcile.statements import of_stage, statement

MOST_REFUSED: Final = 200_000
"""Refused ids that are kept for a peer: 30 MB. Those beyond are sent and refused again by each run."""
STATEMENT_SECONDS: Final = 30.0

_STATEMENTS = {stage: of_stage(stage) for stage in Stage}
_LAST_TIME: Final = 2**63 - 1
_ABOVE_ALL_IDS: Final = b"\xff" * (ID_BYTES + 1)
_SPAN: Final = re.compile(r"\[(\d+),(\d+)\)")

Parameters = Mapping[str, Any]
Query = Callable[[str, Parameters], list[tuple[Any, ...]]]
"""Runs one statement and returns its rows."""


class Text(Struct, frozen=True):
    """The JSON of one event; None where an answer has no room for it."""

    id: bytes
    json: bytes | None


class OwnConnection:
    """A query on a connection of its own, for one thread at a time. Raises psycopg.Error."""

    def __init__(self) -> None:
        is_pooled = settings.RELAY_DATABASE_POOLER != "none"  # a pooler has settings of its own
        options = {} if is_pooled else {"options": f"-c statement_timeout={int(STATEMENT_SECONDS * 1000)} -c jit=off"}
        info = conninfo(application_name="relay reconcile", **options)
        self._connection = psycopg.connect(info, autocommit=True, cursor_factory=psycopg.ClientCursor)

    def __call__(self, text: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """Run one statement."""
        cursor = self._connection.execute(text.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def transaction(self) -> AbstractContextManager[object]:
        """A transaction around what is run inside."""
        return self._connection.transaction()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class LocalSet:
    """What the store holds of a scope. `peer`: the number of the region that it is compared with."""

    def __init__(self, query: Query, peer: int, now: int) -> None:
        """`now` in Unix seconds decides what has expired, and which refused ids are due again."""
        self._query = query
        self._peer = peer
        self._now = now

    def scope(self) -> Scope:
        """What is sent to the peer; nothing if it is no peer any more. `own_only` concerns push alone: what a third
        region has lost on its way is healed here.
        """
        for send, kinds, authors, private in self._query(statement("scope"), {"peer": self._peer}):
            return Scope(
                kinds=tuple(sorted({*orjson.loads(kinds)})) if send == "kinds" else None,
                authors=tuple(sorted({*orjson.loads(authors)})) if send == "authors" else None,
                private=private,
                floors=self._floors(),
            )
        return Scope(kinds=(), authors=())

    def _floors(self) -> tuple[Floor, ...]:
        """What retention does not keep here."""
        rows = self._query(statement("retention_floors"), {})
        return tuple(
            Floor(tuple((int(low), int(high) - 1) for low, high in _SPAN.findall(kinds)), before)
            for kinds, before in rows
        )

    def items(self, part: Part) -> Items | None:
        """Of a part, with what was refused here and without what the peer has refused. None for too many."""
        parameters = self._parameters(part)
        ((data, count),) = self._query(_STATEMENTS[part.stage]("items"), parameters | {"most": MOST_ITEMS})
        if count > MOST_ITEMS:
            return None
        refused = self._query(statement("refused_ids"), parameters | {"peer": self._peer})
        return Items(_with_refused(bytes(data), refused) if refused else bytes(data))

    def bounds(self, part: Part) -> tuple[list[bytes], bool]:
        """Where to divide a window into smaller ones of WINDOW_ITEMS, and whether more may follow the last."""
        asked = self._parameters(part) | {"step": WINDOW_ITEMS, "most": PLAN_WINDOWS}
        found = [bytes(bound) for (bound,) in self._query(_STATEMENTS[part.stage]("bounds"), asked)]
        return found, len(found) == PLAN_WINDOWS

    def texts(self, part: Part, ids: Sequence[bytes]) -> list[Text]:
        """The events of `ids` that may be sent, in their order, about FETCH_BYTES of them."""
        text = _STATEMENTS[part.stage]("texts")
        asked = self._parameters(part) | {"ids": list(ids), "most_bytes": FETCH_BYTES}
        return [Text(bytes(id_), None if json is None else json.encode()) for _, id_, json in self._query(text, asked)]

    def note_refused(self, stage: Stage, items: Sequence[tuple[int, bytes]], *, by_peer: bool, retry_at: int) -> None:
        """Note events as (created_at, id), as far as there is room."""
        created_ats = [created_at for created_at, _ in items]
        noted: dict[str, Any] = {
            "peer": self._peer,
            "stage": str(stage),
            "by_peer": by_peer,
            "retry_at": retry_at,
            "most": MOST_REFUSED,
        }
        noted |= {"created_ats": created_ats, "ids": [event_id for _, event_id in items]}
        self._query(statement("note_refused"), noted)

    def forget(self, part: Part, ids: Sequence[bytes], *, by_peer: bool) -> None:
        """Delete the notes about these events, which say that they were refused here, or by the peer."""
        self._query(
            statement("forget_ids"), self._parameters(part) | {"ids": list(ids), "by_peer": by_peer, "peer": self._peer}
        )

    def forget_refused(self) -> None:
        """Delete the ids that are due again."""
        self._query(statement("forget_refused"), {"peer": self._peer, "now": self._now})

    def _parameters(self, part: Part) -> dict[str, Any]:
        scope, window = part.scope, part.window
        since, lower_id = _place(window.lower)
        until, upper_id = _place(window.upper)
        return {
            "stage": str(part.stage),
            "since": since,
            "lower_id": lower_id,
            "until": until,
            "upper_id": upper_id,
            "now": self._now,
            "kinds": None if scope.kinds is None else list(scope.kinds),
            "authors": None if scope.authors is None else [bytes.fromhex(key) for key in scope.authors],
            "private": scope.private,
            "floor_kinds": [floor.multirange() for floor in scope.floors],
            "floor_befores": [floor.before for floor in scope.floors],
        }


def _place(bound: bytes) -> tuple[int, bytes]:
    """created_at and beginning of an id; what lies above every time is above every event."""
    created_at = int.from_bytes(bound[:TIME_BYTES], "big")
    return (created_at, bound[TIME_BYTES:]) if created_at <= _LAST_TIME else (_LAST_TIME, _ABOVE_ALL_IDS)


def _with_refused(data: bytes, refused: Sequence[tuple[Any, bool]]) -> bytes:
    items = {data[at : at + ITEM_BYTES] for at in range(0, len(data), ITEM_BYTES)}
    items |= {bytes(item) for item, by_peer in refused if not by_peer}
    items -= {bytes(item) for item, by_peer in refused if by_peer}
    return b"".join(sorted(items))
