"""Sends dead letters again, when an operator asks for it."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from replication.answers import (
    MAX_EVENTS_BYTES,
    SETTLED_WELL,
    Fate,
    Outcome,
    Unreadable,
    decode_taken,
    encode_events,
)
from replication.client import PeerClient, PeerError, client_of
from replication.models import DeadLetter, Region
from replication.selection import Selected
from replication.send.lane import TOO_MUCH
from replication.send.letters import add_letters
from replication.send.log import Connection, Sendable
from replication.statements import statement
from replication.wire import EVENTS_PATH

AT_ONCE = 100


def send_again(connection: Connection, ids: Sequence[int]) -> int:
    """Send the events of these letters; returns how many letters are done with: taken, or gone meanwhile.

    Those of a peer that does not answer stay as they are. Raises its PeerError or ValueError once all peers were tried.
    """
    rows = connection.execute(statement("letters"), {"ids": list(ids)}).fetchall()
    gone = [row[0] for row in rows if row[5] is None]
    done = DeadLetter.objects.filter(pk__in=gone).delete()[0]
    faults: list[Exception] = []
    for origin, found in groupby([row for row in rows if row[5] is not None], itemgetter(1)):
        peer = Region.peers().filter(pk=origin).first()
        if peer is not None:
            try:
                done += _to_peer(connection, peer, _selected(peer, found))
            except (PeerError, ValueError) as fault:
                faults.append(fault)
    if faults:
        raise faults[0]
    return done


def _selected(peer: Region, rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Those that may go to the peer now: it may have lost the right to private kinds since. The others stay letters."""
    selected = Selected.of(peer)
    return [row for row in rows if selected.sends(row[4], row[6], origin=0)]


def _to_peer(connection: Connection, peer: Region, rows: list[tuple[Any, ...]]) -> int:
    done, most = 0, AT_ONCE
    with client_of(peer) as client:
        while rows:
            part = _first_of(rows[:most])
            events = [Sendable(0, row[2], row[3], row[4], row[5].encode()) for row in part]
            try:
                outcomes = _outcomes(client, events)
            except PeerError as error:
                if error.status not in TOO_MUCH:
                    raise
                if len(part) > 1:  # one by one it is known which of them it cannot read
                    most = 1
                    continue
                outcomes = [Outcome(Fate.REFUSED, f"error: {error}")]
            del rows[: len(part)]
            pairs = list(zip(part, events, outcomes, strict=True))
            taken = [row[0] for row, _, outcome in pairs if outcome.fate in SETTLED_WELL]
            add_letters(connection, peer, [(e, outcome) for _, e, outcome in pairs if outcome.fate not in SETTLED_WELL])
            done += DeadLetter.objects.filter(pk__in=taken).delete()[0]
    return done


def _outcomes(client: PeerClient, events: Sequence[Sendable]) -> list[Outcome]:
    """Raises PeerError, ValueError."""
    answer = client.post(EVENTS_PATH, encode_events([event.json for event in events]))
    outcomes = decode_taken(answer.body).outcomes
    if len(outcomes) != len(events):
        raise Unreadable("the answer is to other events")
    return outcomes


def _first_of(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    part: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        if part and size + len(row[5]) > MAX_EVENTS_BYTES:
            break
        part.append(row)
        size += len(row[5])
    return part
