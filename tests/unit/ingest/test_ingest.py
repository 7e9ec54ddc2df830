"""The one way in: what becomes of an event, and what the database is asked for."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.changes.change import Added, Batch
from relay.changes.ring import Ring
from relay.ingest import ingest as module
from relay.ingest import recent_ids
from relay.ingest.ingest import BATCH_IN_FLIGHT, Ingest
from relay.ingest.outcome import DUPLICATE, EPHEMERAL, FAILED, OUTDATED, STORED, Outcome, Status
from relay.metrics import counters
from relay.policies.source import Source, SourceKind
from relay.protocol.errors import Failed
from relay.protocol.event import Event, StoredEvent
from relay.protocol.limits import Limits
from relay.services.session.event import answer
from relay.storage.batch import Entry
from relay.storage.write_result import WriteOutcome
from tests.events import pubkey_of, secret, sign_event

LIMITS = Limits(max_content_length=300)
CLIENT = Source(SourceKind.CLIENT)
IMPORT = Source(SourceKind.IMPORT)
REPOSTS = json.loads((Path(__file__).parents[2] / "vectors" / "protected_reposts.json").read_text())["cases"]
RESULTS = {
    WriteOutcome.STORED: STORED,
    WriteOutcome.DUPLICATE: DUPLICATE,
    WriteOutcome.OUTDATED: OUTDATED,
    WriteOutcome.FAILED: FAILED,
}


def event(**fields: Any) -> Event:
    return Event(**sign_event(**({"created_at": int(time.time())} | fields)))


class Parts:
    """A writer, a hub and a bus that note what they are given; the test decides when and how the writer answers."""

    def __init__(self, *, current: bool = True, limits: Limits = LIMITS) -> None:
        self.queue: deque[tuple[Entry, Callable[[Entry, WriteOutcome], None]]] = deque()
        self.delivered: list[StoredEvent] = []
        self.full = False
        self.most = 0
        self.ring = Ring(0, 1 << 20)
        parts: Any = self
        self.ingest = Ingest(limits, lambda: self.ring, parts, parts, parts, is_current=lambda position: current)

    def submit(self, entry: Entry, waiter: Callable[[Entry, WriteOutcome], None], owner: str) -> None:
        if self.full:
            raise Failed("the relay is too busy to store events now, try again")
        self.queue.append((entry, waiter))
        self.most = max(self.most, len(self.queue))

    def deliver_ephemeral(self, stored: StoredEvent) -> None:
        self.delivered.append(stored)

    def publish_ephemeral(self, stored: StoredEvent, origin: int = 0) -> None:
        self.delivered.append(stored)

    def answer(self, result: WriteOutcome = WriteOutcome.STORED) -> None:
        """Answer the event that has waited longest, as the writer does."""
        entry, waiter = self.queue.popleft()
        waiter(entry, result)

    def know(self, known: Event) -> None:
        """The ring holds it."""
        self.ring.append(Batch.of([Added(self.ring.position + 1, StoredEvent.of(known))]))


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture(autouse=True)
def uncounted() -> Iterator[None]:
    """Leave the counters of the process as they were."""
    before = counters.totals(), dict(counters.rejections)
    yield
    for name, value in before[0].items():
        setattr(counters, name, value)
    counters.rejections.clear()
    counters.rejections.update(before[1])


def at_once(parts: Parts, given_event: Event, source: Source = CLIENT) -> Outcome:
    """The outcome of an event that the database is not asked about."""
    outcome = parts.ingest.submit(given_event, source, lambda later: pytest.fail("answered twice"))
    assert outcome is not None
    assert not parts.queue
    return outcome


@pytest.mark.parametrize("result, outcome", RESULTS.items())
def test_the_writers_result_becomes_the_outcome(parts: Parts, result: WriteOutcome, outcome: Outcome) -> None:
    outcomes: list[Outcome] = []
    assert parts.ingest.submit(event(), CLIENT, outcomes.append) is None
    parts.answer(result)
    assert outcomes == [outcome]


def test_01_e03_a_wrong_id_is_found_before_a_wrong_signature(parts: Parts) -> None:
    wrong = Event(**(sign_event(created_at=int(time.time())) | {"id": "0" * 64, "sig": "0" * 128}))
    assert at_once(parts, wrong) == Outcome(Status.REFUSED, "invalid: the id is not the hash of the event")


def test_01_e03_a_wrong_signature_is_refused(parts: Parts) -> None:
    wrong = Event(**(sign_event(created_at=int(time.time())) | {"sig": "0" * 128}))
    assert at_once(parts, wrong) == Outcome(Status.REFUSED, "invalid: the signature is not the author's")


def test_a_trusted_source_is_believed_the_signature(parts: Parts) -> None:
    wrong = Event(**(sign_event(created_at=int(time.time())) | {"sig": "0" * 128}))
    assert parts.ingest.submit(wrong, Source(SourceKind.PEER, trusted=True), lambda outcome: None) is None


def test_a_trusted_source_is_not_believed_the_id(parts: Parts) -> None:
    wrong = Event(**(sign_event(created_at=int(time.time())) | {"id": "0" * 64}))
    assert at_once(parts, wrong, Source(SourceKind.PEER, trusted=True)).status is Status.REFUSED


@pytest.mark.parametrize("kind", [SourceKind.IMPORT, SourceKind.PEER, SourceKind.ADMIN])
def test_x_2_the_shape_is_checked_for_sources_without_a_parser(parts: Parts, kind: SourceKind) -> None:
    assert at_once(parts, event(content="x" * 301), Source(kind)).text.startswith("invalid: content may have")


@pytest.mark.parametrize("kind", SourceKind)
@pytest.mark.parametrize(
    "fields, prefix",
    [
        ({"created_at": 2**40}, "invalid"),
        ({"tags": [["expiration", "1"]]}, "invalid"),
        ({"kind": 22_242}, "invalid"),
        ({"kind": 27_235}, "invalid"),
        ({"kind": 13}, "blocked"),
        ({"kind": 6, "content": '{"tags":[["-"]]}'}, "blocked"),
    ],
    ids=str,
)
def test_x_2_every_source_passes_the_same_policies(
    parts: Parts, kind: SourceKind, fields: dict[str, Any], prefix: str
) -> None:
    outcome = at_once(parts, event(**fields), Source(kind))
    assert (outcome.status, outcome.prefix, outcome.accepted) == (Status.REFUSED, prefix, False)


@pytest.mark.parametrize("name", ["-", "\\u002d", "\\u002D"])
def test_70_2_a_protected_event_in_a_repost_is_found_however_its_tag_is_written(parts: Parts, name: str) -> None:
    assert at_once(parts, event(kind=16, content=f'{{"tags":[["{name}"]]}}')).prefix == "blocked"


@pytest.mark.parametrize("kind", [6, 16])
@pytest.mark.parametrize("name, content, refused", REPOSTS, ids=[name for name, _, _ in REPOSTS])
def test_70_2_the_content_of_a_repost_is_parsed(kind: int, name: str, content: str, refused: bool) -> None:
    parts = Parts(limits=Limits())
    outcome = parts.ingest.submit(event(kind=kind, content=content), CLIENT, lambda later: None)
    assert (outcome is not None and outcome.prefix == "blocked") is refused


def repost_of(content: str, levels: int) -> str:
    for _ in range(levels):
        content = json.dumps({"kind": 6, "tags": [], "content": content})
    return content


PROTECTED = '{"kind":1,"tags":[["-"]],"content":""}'
HIDDEN = {
    "in a repost": repost_of(PROTECTED, 1),
    "in a repost of a repost": repost_of(PROTECTED, 2),
    "below many reposts": repost_of(PROTECTED, 6),
    "beside half a surrogate": '{"x":"\\ud800",' + PROTECTED[1:],
    "beside a long number": '{"x":' + "1" * 5_000 + "," + PROTECTED[1:],
    "beside deep nesting": '{"x":' + "[" * 2_000 + "]" * 2_000 + "," + PROTECTED[1:],
    "in a repost, beside half a surrogate": repost_of('{"x":"\\ud800",' + PROTECTED[1:], 1),
}


@pytest.mark.parametrize("content", HIDDEN.values(), ids=HIDDEN)
def test_70_2_a_protected_event_in_a_repost_is_found_where_browsers_find_it(parts: Parts, content: str) -> None:
    assert at_once(parts, event(kind=16, content=content)).prefix == "blocked"


@pytest.mark.parametrize("content", ["", "{", "text", repost_of('{"kind":1,"tags":[["t","-"]],"content":"-"}', 2)])
def test_70_2_other_reposts_are_stored(parts: Parts, content: str) -> None:
    assert parts.ingest.submit(event(kind=6, content=content), CLIENT, lambda later: None) is None


def protected_event(key: bytes | None = None) -> Event:
    return Event(**sign_event(key, tags=[["-"]], created_at=int(time.time())))


def proved(*keys: bytes) -> Source:
    return Source(SourceKind.CLIENT, proved=frozenset(map(pubkey_of, keys)))


def test_70_1_a_protected_event_asks_an_unknown_client_to_log_in(parts: Parts) -> None:
    assert at_once(parts, protected_event()).text == "auth-required: this event may only be published by its author"


def test_70_1_a_protected_event_of_another_author_is_restricted(parts: Parts) -> None:
    assert at_once(parts, protected_event(secret(1)), proved(secret(2))).prefix == "restricted"


def test_70_1_one_of_several_keys_is_enough(parts: Parts) -> None:
    source = proved(secret(2), secret(1))
    assert parts.ingest.submit(protected_event(secret(1)), source, lambda outcome: None) is None


def test_70_1_a_protected_event_that_is_known_is_not_told_to_others(parts: Parts) -> None:
    known = protected_event(secret(1))
    parts.know(known)
    assert at_once(parts, known).prefix == "auth-required"
    assert at_once(parts, known, proved(secret(1))) is DUPLICATE


@pytest.mark.parametrize("kind", [SourceKind.IMPORT, SourceKind.ADMIN])
def test_70_3_protected_events_are_taken_from_trusted_sources_alone(parts: Parts, kind: SourceKind) -> None:
    assert at_once(parts, protected_event(), Source(kind)).prefix == "restricted"
    assert parts.ingest.submit(protected_event(), Source(kind, trusted=True), lambda outcome: None) is None


def test_70_3_a_copy_of_another_region_is_no_publishing(parts: Parts) -> None:
    assert parts.ingest.submit(protected_event(), Source(SourceKind.PEER), lambda outcome: None) is None


def prefix_with(limits: Limits, given_event: Event, source: Source = CLIENT) -> str:
    """The prefix of the refusal by a relay with these limits, "" for an event that is written."""
    outcome = Parts(limits=limits).ingest.submit(given_event, source, lambda later: None)
    return "" if outcome is None else outcome.prefix


def test_13_3_the_least_work_may_differ_by_kind() -> None:
    limits = Limits(min_pow_difficulty=30, min_pow_by_kind=((7, 0), (1_059, 40)))
    assert [prefix_with(limits, event(kind=kind)) for kind in (1, 7, 1_059)] == ["pow", "", "pow"]


def test_13_2_a_copy_of_another_region_needs_no_work() -> None:
    assert prefix_with(Limits(min_pow_difficulty=30), event(kind=1), Source(SourceKind.PEER)) == ""


def test_01_e11_what_a_peer_has_taken_may_be_older_and_a_minute_further_ahead() -> None:
    limits = Limits(created_at_lower_limit=100, created_at_upper_limit=900)
    now = int(time.time())
    peer = Source(SourceKind.PEER)
    assert prefix_with(limits, event(created_at=now - 1_000), peer) == ""
    assert prefix_with(limits, event(created_at=now + 950), peer) == ""
    assert prefix_with(limits, event(created_at=now + 1_000), peer) == "invalid"


def test_62_4_a_request_to_vanish_needs_no_work() -> None:
    request = event(kind=62, tags=[["relay", "ALL_RELAYS"]])
    assert prefix_with(Limits(min_pow_difficulty=30), request) == ""


@pytest.mark.parametrize("asked", [None, frozenset({62})])
@pytest.mark.parametrize("source", [CLIENT, proved(secret(1)), proved(secret(2))])
def test_62_4_a_request_to_vanish_needs_no_login(asked: frozenset[int] | None, source: Source) -> None:
    request = event(kind=62, tags=[["relay", "ALL_RELAYS"]])
    assert prefix_with(Limits(auth_to_write=asked), request, source) == ""


def test_62_4_a_protected_request_to_vanish_needs_the_login_of_its_author() -> None:
    """70-1: its author says by the tag who may publish it."""
    request = event(kind=62, tags=[["relay", "ALL_RELAYS"], ["-"]])
    sources = (CLIENT, proved(secret(2)), proved(secret(1)))
    assert [prefix_with(Limits(), request, source) for source in sources] == ["auth-required", "restricted", ""]


def test_13_1_a_claimed_difficulty_is_checked_against_the_hash() -> None:
    lying = Event(**(sign_event(created_at=int(time.time())) | {"id": "0" * 64}))
    assert prefix_with(Limits(min_pow_difficulty=30), lying) == "invalid"


def test_42_7_where_writing_needs_a_login_every_event_is_refused_before() -> None:
    limits = Limits(auth_to_write=None)
    assert prefix_with(limits, event()) == "auth-required"
    assert prefix_with(limits, event(), proved(secret(2))) == ""
    assert prefix_with(limits, event(), IMPORT) == ""


def test_59_6_a_login_may_be_asked_for_some_kinds_alone() -> None:
    limits = Limits(auth_to_write=frozenset({1_059}))
    assert [prefix_with(limits, event(kind=kind)) for kind in (1, 1_059)] == ["", "auth-required"]


def test_an_event_in_the_ring_is_a_duplicate_without_a_query(parts: Parts) -> None:
    known = event()
    parts.know(known)
    assert at_once(parts, known) is DUPLICATE


def test_the_database_is_asked_about_a_known_event_while_another_process_may_know_more() -> None:
    parts = Parts(current=False)
    known = event()
    parts.know(known)
    assert parts.ingest.submit(known, CLIENT, lambda outcome: None) is None
    assert len(parts.queue) == 1


def test_01_e18_a_known_id_with_another_signature_is_verified(parts: Parts) -> None:
    known = sign_event(created_at=int(time.time()))
    parts.know(Event(**known))
    assert at_once(parts, Event(**(known | {"sig": "0" * 128}))).status is Status.REFUSED


def test_01_k04_an_ephemeral_event_is_delivered_and_not_stored(parts: Parts) -> None:
    assert at_once(parts, event(kind=20_001)) is EPHEMERAL
    assert len(parts.delivered) == 2


def test_01_e17_copies_of_an_event_that_waits_for_the_database_are_written_once(parts: Parts) -> None:
    outcomes: list[Outcome] = []
    same = event()
    for _ in range(3):
        assert parts.ingest.submit(same, CLIENT, outcomes.append) is None
    assert len(parts.queue) == 1
    parts.answer()
    assert outcomes == [STORED, DUPLICATE, DUPLICATE]


@pytest.mark.parametrize("result", [WriteOutcome.DUPLICATE, WriteOutcome.OUTDATED, WriteOutcome.FAILED])
def test_who_joined_an_event_that_was_not_stored_gets_its_outcome(parts: Parts, result: WriteOutcome) -> None:
    outcomes: list[Outcome] = []
    same = event()
    for _ in range(2):
        parts.ingest.submit(same, CLIENT, outcomes.append)
    parts.answer(result)
    assert outcomes == [RESULTS[result]] * 2


def test_a_copy_after_the_answer_is_written_again(parts: Parts) -> None:
    same = event()
    for _ in range(2):
        parts.ingest.submit(same, CLIENT, lambda outcome: None)
        parts.answer()
    assert parts.ingest.submit(same, CLIENT, lambda outcome: None) is None
    assert len(parts.queue) == 1


def test_01_e18_an_event_that_waits_is_not_joined_with_another_signature(parts: Parts) -> None:
    waiting = sign_event(created_at=int(time.time()))
    parts.ingest.submit(Event(**waiting), CLIENT, lambda outcome: None)
    wrong = parts.ingest.submit(Event(**(waiting | {"sig": "0" * 128})), CLIENT, lambda outcome: None)
    assert wrong is not None
    assert wrong.status is Status.REFUSED


def test_two_signatures_of_one_event_have_an_answer_each(parts: Parts) -> None:
    outcomes: list[Outcome] = []
    one = sign_event(created_at=int(time.time()))
    other = one | {"sig": "1" * 128}
    for given_event in (one, other, other, one):
        parts.ingest.submit(Event(**given_event), Source(SourceKind.PEER, trusted=True), outcomes.append)
    while parts.queue:
        parts.answer(WriteOutcome.STORED if not outcomes else WriteOutcome.DUPLICATE)
    assert sorted(outcome.status.value for outcome in outcomes) == ["duplicate"] * 3 + ["stored"]


def test_a_full_queue_does_not_leave_an_event_that_is_joined_for_ever(parts: Parts) -> None:
    same = event()
    parts.full = True
    assert at_once(parts, same).status is Status.FAILED
    parts.full = False
    assert parts.ingest.submit(same, CLIENT, lambda outcome: None) is None
    assert len(parts.queue) == 1


async def test_very_many_copies_are_all_answered(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERS_AT_ONCE", 3)
    outcomes: list[Outcome] = []
    same = event()
    for _ in range(12):
        parts.ingest.submit(same, CLIENT, outcomes.append)
    parts.answer()
    assert outcomes == [STORED] + [DUPLICATE] * 3
    async with asyncio.timeout(5):
        while len(outcomes) < 12:
            await asyncio.sleep(0)
    assert outcomes == [STORED] + [DUPLICATE] * 11


def test_no_more_copies_join_than_the_bound(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_JOINED", 2)
    outcomes: list[Outcome] = []
    same = event()
    for _ in range(5):
        parts.ingest.submit(same, CLIENT, outcomes.append)
    assert len(parts.queue) == 3
    while parts.queue:
        parts.answer(WriteOutcome.DUPLICATE)
    assert outcomes == [DUPLICATE] * 5


def test_01_k04_the_same_ephemeral_event_is_delivered_once(parts: Parts) -> None:
    same = event(kind=20_001)
    assert [at_once(parts, same), at_once(parts, same)] == [EPHEMERAL, DUPLICATE]
    assert len(parts.delivered) == 2


def test_01_k04_an_ephemeral_event_that_two_workers_accept_is_delivered_once_by_each(parts: Parts) -> None:
    same = event(kind=20_001)
    parts.ingest.ephemeral_from_bus(StoredEvent.of(same))
    parts.ingest.ephemeral_from_bus(StoredEvent.of(same))
    assert len(parts.delivered) == 1
    assert at_once(parts, same) is DUPLICATE


def test_01_k04_an_ephemeral_gift_wrap_is_not_forgotten_for_other_ephemeral_events(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_ids, "MAX_IDS", 2)
    wrap, others = event(kind=21_059), [event(kind=20_001, content=str(number)) for number in range(6)]
    assert at_once(parts, wrap) is EPHEMERAL
    assert [at_once(parts, other) for other in [*others, others[0]]] == [EPHEMERAL] * 7
    assert at_once(parts, wrap) is DUPLICATE
    parts.ingest.ephemeral_from_bus(StoredEvent.of(wrap))
    assert len([one for one in parts.delivered if one.kind == 21_059]) == 2  # to the hub and to the bus, once each


@pytest.mark.parametrize("age, status", [(50, Status.EPHEMERAL), (70, Status.REFUSED), (30 * 86_400, Status.REFUSED)])
def test_01_k04_an_old_ephemeral_event_is_refused(parts: Parts, age: int, status: Status) -> None:
    outcome = at_once(parts, event(kind=20_001, created_at=int(time.time()) - age))
    assert outcome.status is status
    assert outcome.prefix in ("", "invalid")


@pytest.mark.parametrize("age, status", [(2 * 86_400, Status.EPHEMERAL), (2 * 86_400 + 70, Status.REFUSED)])
def test_59_6_an_ephemeral_gift_wrap_may_be_dated_two_days_back(parts: Parts, age: int, status: Status) -> None:
    assert at_once(parts, event(kind=21_059, created_at=int(time.time()) - age)).status is status


@pytest.mark.parametrize("kind", [1_059, 21_059])
@pytest.mark.parametrize("age, accepted", [(2 * 86_400 + 30, True), (2 * 86_400 + 130, False)])
def test_59_6_a_gift_wrap_may_be_dated_back_two_days_further_than_other_events(
    kind: int, age: int, accepted: bool
) -> None:
    parts = Parts(limits=Limits(created_at_lower_limit=60, ephemeral_seconds=60))
    wrap = event(kind=kind, created_at=int(time.time()) - age)
    outcome = parts.ingest.submit(wrap, CLIENT, lambda later: None)
    assert (outcome is None or outcome.accepted) is accepted
    note = event(created_at=int(time.time()) - 130)
    assert at_once(Parts(limits=Limits(created_at_lower_limit=60)), note).prefix == "invalid"


def test_a_full_queue_is_a_failure_that_may_be_tried_again(parts: Parts) -> None:
    parts.full = True
    outcome = at_once(parts, event())
    assert (outcome.status, outcome.prefix) == (Status.FAILED, "error")


def test_an_answer_that_raises_does_not_keep_the_next_one_back(parts: Parts) -> None:
    outcomes: list[Outcome] = []

    def broken(outcome: Outcome) -> None:
        raise RuntimeError("a fault of the caller")

    parts.ingest.submit(event(content="1"), CLIENT, broken)
    parts.ingest.submit(event(content="2"), CLIENT, outcomes.append)
    parts.answer()
    parts.answer()
    assert outcomes == [STORED]


async def test_one_event_is_waited_for(parts: Parts) -> None:
    waiting = asyncio.ensure_future(parts.ingest.one(event(), IMPORT))
    await asyncio.sleep(0)
    assert not waiting.done()
    parts.answer(WriteOutcome.OUTDATED)
    assert await waiting is OUTDATED


async def test_one_event_that_is_refused_is_answered_at_once(parts: Parts) -> None:
    assert (await parts.ingest.one(event(kind=22_242), IMPORT)).status is Status.REFUSED


async def test_an_answer_after_the_asker_was_cancelled_is_dropped(parts: Parts) -> None:
    waiting = asyncio.ensure_future(parts.ingest.one(event(), IMPORT))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    parts.answer()
    assert waiting.cancelled()


class LastFirst(Parts):
    """A writer that answers, in each turn of the loop, what has waited shortest."""

    def submit(self, entry: Entry, waiter: Callable[[Entry, WriteOutcome], None], owner: str) -> None:
        super().submit(entry, waiter, owner)
        asyncio.get_running_loop().call_soon(self._answer)

    def _answer(self) -> None:
        entry, waiter = self.queue.pop()
        number = int(orjson.loads(entry.event.json)["content"])
        waiter(entry, list(RESULTS)[number % len(RESULTS)])


async def test_a_batch_has_its_outcomes_in_the_order_of_its_events() -> None:
    parts = LastFirst()
    events = [event(content=str(number), kind=22_242 if number % 7 == 0 else 1) for number in range(60)]
    outcomes = await parts.ingest.batch(iter(events), IMPORT)
    for number, outcome in enumerate(outcomes):
        if number % 7 == 0:
            assert outcome.status is Status.REFUSED
        else:
            assert outcome is list(RESULTS.values())[number % len(RESULTS)]
    assert len(outcomes) == 60


async def test_a_batch_keeps_no_more_in_flight_than_its_bound() -> None:
    parts = Parts()
    events = [event(content=str(number)) for number in range(3 * BATCH_IN_FLIGHT)]
    running = asyncio.ensure_future(parts.ingest.batch(events, IMPORT))
    answered = 0
    while not running.done():
        if parts.queue:
            parts.answer()
            answered += 1
        await asyncio.sleep(0)
    assert answered == 3 * BATCH_IN_FLIGHT
    assert parts.most == BATCH_IN_FLIGHT


async def test_a_batch_lets_others_have_the_loop(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_TURN_SECONDS", 0)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await parts.ingest.batch([event(kind=22_242)] * 50, IMPORT)
    counting.cancel()
    assert turns >= 50


async def test_an_empty_batch_has_no_outcomes(parts: Parts) -> None:
    assert await parts.ingest.batch([], IMPORT) == []


@given(
    status=st.sampled_from([STORED, EPHEMERAL, DUPLICATE, OUTDATED, FAILED]),
    refused=st.none() | st.sampled_from(["blocked: no", 'invalid: é"\\', "pow: 3 is less than 30"]),
    event_id=st.text(st.characters(codec="utf-8"), max_size=70),
)
@settings(derandomize=True, deadline=None)
def test_the_ok_frame_has_the_fields_of_the_outcome(status: Outcome, refused: str | None, event_id: str) -> None:
    outcome = status if refused is None else Outcome(Status.REFUSED, refused)
    if outcome is STORED:
        event_id = "ab" * 32  # of a stored event the id is known to be hex
    assert orjson.loads(answer(event_id, outcome)) == ["OK", event_id, outcome.accepted, outcome.text]


@pytest.mark.parametrize("outcome", [STORED, EPHEMERAL, DUPLICATE, OUTDATED, FAILED])
def test_01_e01_a_text_is_missing_only_when_the_event_was_accepted(outcome: Outcome) -> None:
    assert outcome.text or outcome.accepted
