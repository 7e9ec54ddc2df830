"""What the peer lacks: read from the store and pushed to it, in batches."""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from relay.ingest.outcome import Status
from replication.reconcile.desk import Desk, Given
from replication.reconcile.local_set import Text
from replication.reconcile.messages import FETCH_EVENTS, Part
from replication.reconcile.report import Report
from replication.reconcile.taking import REFUSED_FOR_SECONDS

_REFUSALS = frozenset({Status.REFUSED.value, Status.OUTDATED.value})


class _Dated(msgspec.Struct):
    created_at: int


_decode_dated = msgspec.json.Decoder(_Dated).decode


async def give(desk: Desk, part: Part, ids: Sequence[bytes], report: Report, is_stopping: Callable[[], bool]) -> None:
    """Push the events of these ids, FETCH_EVENTS at a time; those that are gone meanwhile are passed over.

    Raises PeerError.
    """
    while ids and not is_stopping():
        asked = list(ids[:FETCH_EVENTS])
        texts = await asyncio.to_thread(desk.local.texts, part, asked)
        await _forget(desk, part, asked, texts)
        unsent = next((text.id for text in texts if text.json is None), None)
        sent = [text for text in texts if text.json is not None]
        if sent:
            given = await asyncio.to_thread(desk.push, [text.json for text in sent if text.json is not None])
            await _note(desk, part, sent, given, report)
        ids = ids[len(asked) if unsent is None else asked.index(unsent) :]


async def _forget(desk: Desk, part: Part, asked: Sequence[bytes], texts: Sequence[Text]) -> None:
    """What was refused here, and is gone at the peer now, does not count as held here any more."""
    if gone := {*asked} - {text.id for text in texts}:
        await asyncio.to_thread(desk.local.forget, part, [*gone], by_peer=False)


async def _note(desk: Desk, part: Part, sent: Sequence[Text], given: Sequence[Given], report: Report) -> None:
    report.given.update(outcome.status for outcome in given)
    refused = [
        (text, outcome) for text, outcome in zip(sent, given, strict=True) if outcome.status in _REFUSALS and text.json
    ]
    for _, outcome in refused:
        report.refused(f"at the peer: {outcome.text or outcome.status}")
    if refused:
        items = [(_decode_dated(text.json or b"").created_at, text.id) for text, _ in refused]
        retry_at = int(time.time()) + REFUSED_FOR_SECONDS
        await asyncio.to_thread(desk.local.note_refused, part.stage, items, by_peer=True, retry_at=retry_at)
