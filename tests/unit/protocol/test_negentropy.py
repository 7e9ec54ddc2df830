"""Negentropy (NIP-77): the vectors of the reference programs, a naive difference of sets, hostile messages."""

import json
import random
import tracemalloc
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.protocol.errors import Invalid
from relay.protocol.negentropy.encoding import BoundWriter, Reader, varint
from relay.protocol.negentropy.items import Items
from relay.protocol.negentropy.reconciliation import FRAME_BYTES, MIN_FRAME_BYTES, Initiator, respond

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "negentropy.json").read_text())

Pair = tuple[int, bytes]


def numbered(numbers: Sequence[int], step: int) -> list[Pair]:
    """The items that the vectors describe in words."""
    return [(1_700_000_000 + step * number, sha256(f"neg-{number}".encode()).digest()) for number in numbers]


DESCRIBED = {
    "forty, fingerprints: the server lacks number 7, the client number 33": (
        numbered([n for n in range(40) if n != 33], 10),
        numbered([n for n in range(40) if n != 7], 10),
    ),
    "frames of 4096 bytes: client empty, server 300": ([], numbered(range(300), 10)),
    "five thousand, three lacking on each side": (
        numbered([n for n in range(5_000) if n not in {17, 1234, 4999}], 1),
        numbered([n for n in range(5_000) if n not in {0, 2500, 2501}], 1),
    ),
}


def pairs(listed: list[list[Any]]) -> list[Pair]:
    return [(created_at, bytes.fromhex(event_id)) for created_at, event_id in listed]


class Exchange:
    """A whole reconciliation: every message, and what the initiator was told."""

    def __init__(self, client: list[Pair], server: list[Pair], frame_bytes: int = FRAME_BYTES) -> None:
        initiator, items = Initiator(Items.of(client), frame_bytes), Items.of(server)
        self.messages: list[bytes] = []
        self.have: list[bytes] = []
        self.need: list[bytes] = []
        message: bytes | None = initiator.open()
        while message is not None:
            answer = respond(items, message, frame_bytes)
            self.messages += [message, answer]
            step = initiator.step(answer)
            self.have += step.have
            self.need += step.need
            message = step.message
            assert len(self.messages) < 1_000


def is_as_told(message: bytes, told: Any) -> bool:
    if isinstance(told, str):
        return bool(message.hex() == told)
    return (len(message), sha256(message).hexdigest()) == (told["bytes"], told["sha256"])


@pytest.mark.parametrize("session", VECTORS["sessions"], ids=[session["name"] for session in VECTORS["sessions"]])
def test_the_messages_are_those_of_the_reference(session: dict[str, Any]) -> None:
    if "client" in session:
        client, server = pairs(session["client"]), pairs(session["server"])
    else:
        client, server = DESCRIBED[session["name"]]

    made = Exchange(client, server, session.get("frame_size_limit", {"client": FRAME_BYTES})["client"])

    assert len(made.messages) == len(session["messages"]) == 2 * session["round_trips"]
    for message, (_, told) in zip(made.messages, session["messages"], strict=True):
        assert is_as_told(message, told)
    assert sorted(event_id.hex() for event_id in made.have) == session["have"]
    if isinstance(session["need"], dict):
        assert len(set(made.need)) == session["need"]["count"]
    else:
        assert sorted(event_id.hex() for event_id in made.need) == session["need"]


@pytest.mark.parametrize("number, text", VECTORS["varints"])
def test_varints_are_those_of_the_reference(number: int, text: str) -> None:
    assert varint(number).hex() == text
    assert Reader(bytes.fromhex(text), 0).varint() == number


@pytest.mark.parametrize("vector", VECTORS["fingerprints"])
def test_fingerprints_are_those_of_the_reference(vector: dict[str, Any]) -> None:
    ids = vector["ids"]
    if isinstance(ids, str):
        ids = [sha256(f"neg-{number}".encode()).hexdigest() for number in range(200)]

    items = Items.of([(number, bytes.fromhex(event_id)) for number, event_id in enumerate(ids)])

    assert items.fingerprint(0, len(items)).hex() == vector["fingerprint"]


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_the_fingerprint_of_a_range_is_that_of_its_items_alone(ids: list[bytes], one: int, other: int) -> None:
    items = Items.of(list(enumerate(ids)))
    lower, upper = sorted((min(one, len(ids)), min(other, len(ids))))

    alone = Items.of(list(enumerate(ids[lower:upper])))

    assert items.fingerprint(lower, upper) == alone.fingerprint(0, len(alone))


def random_pairs(count: int, seconds: int, seed: int) -> list[Pair]:
    chance = random.Random(seed)
    return [(chance.randrange(seconds), chance.randbytes(32)) for _ in range(count)]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    shared=st.integers(0, 1_500),
    only_client=st.integers(0, 300),
    only_server=st.integers(0, 300),
    seconds=st.sampled_from([1, 2, 50, 2**63]),
    frame_bytes=st.sampled_from([MIN_FRAME_BYTES, 8_000, FRAME_BYTES]),
)
def test_both_differences_are_found_exactly(
    seed: int, shared: int, only_client: int, only_server: int, seconds: int, frame_bytes: int
) -> None:
    everything = random_pairs(shared + only_client + only_server, seconds, seed)
    client = everything[: shared + only_client]
    server = everything[:shared] + everything[shared + only_client :]

    made = Exchange(client, server, frame_bytes)

    assert set(made.have) == {event_id for _, event_id in set(client) - set(server)}
    assert set(made.need) == {event_id for _, event_id in set(server) - set(client)}
    assert max(map(len, made.messages)) <= frame_bytes


def test_times_may_tie_and_ids_share_long_prefixes() -> None:
    tied = [(5, bytes(30) + number.to_bytes(2, "big")) for number in range(2_000)]

    made = Exchange(tied[:1_000] + tied[1_001:], tied[:1_500] + tied[1_503:])

    assert made.need == [tied[1_000][1]]
    assert sorted(made.have) == [event_id for _, event_id in tied[1_500:1_503]]


def test_few_differences_between_large_sets_take_few_round_trips() -> None:
    everything = random_pairs(100_010, 100_000, 1)

    made = Exchange(everything[5:], everything[:-5])

    assert len(made.messages) // 2 <= 4
    assert (len(made.have), len(made.need)) == (5, 5)


FIVE = Items.of(pairs(next(session for session in VECTORS["sessions"] if session["name"] == "equal")["server"]))


@pytest.mark.parametrize("case", VECTORS["hostile"]["cases"], ids=lambda case: case["why"])
def test_hostile_messages_are_answered_or_refused(case: dict[str, Any]) -> None:
    message = bytes.fromhex(case["message"])
    if case["expect"] == "reply":
        assert respond(FIVE, message).hex() == case["reply"]
    else:  # "reply or error" is refused too
        with pytest.raises(Invalid):
            respond(FIVE, message)


@pytest.mark.parametrize("message", ["", "60", "62", "6f", "00"])
def test_the_initiator_refuses_another_version(message: str) -> None:
    with pytest.raises(Invalid):
        Initiator(FIVE).step(bytes.fromhex(message))


def test_a_count_is_not_believed_before_its_ids_are_there() -> None:
    message = bytes.fromhex("61000002") + varint(2**63)
    tracemalloc.start()
    with pytest.raises(Invalid):
        Initiator(FIVE).step(message)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert used < 100_000


def ranges() -> st.SearchStrategy[bytes]:
    """Ranges that are nearly right: bounds that rise or not, known and unknown modes, counts that are too high."""
    bound = st.builds(
        lambda told, prefix: varint(told) + varint(len(prefix)) + prefix, st.integers(0, 2**64), st.binary(max_size=33)
    )
    fingerprint = st.binary(min_size=14, max_size=16).map(lambda text: b"\x01" + text)
    ids = st.builds(
        lambda count, listed: b"\x02" + varint(count) + b"".join(listed),
        st.integers(0, 3) | st.integers(0, 2**64),
        st.lists(st.binary(min_size=32, max_size=32), max_size=3),
    )
    return st.builds(lambda start, rest: start + rest, bound, st.just(b"\x00") | st.just(b"\x03") | fingerprint | ids)


MANY = Items.of(random_pairs(500, 40, 2))


@settings(max_examples=300, deadline=None)
@given(st.lists(ranges(), max_size=6).map(lambda parts: b"\x61" + b"".join(parts)) | st.binary(max_size=80))
def test_no_message_makes_either_side_fail_or_answer_beyond_the_limit(message: bytes) -> None:
    for side in (_as_responder, _as_initiator):
        try:
            answer = side(message)
        except Invalid:
            continue
        assert len(answer) <= MIN_FRAME_BYTES
        Initiator(MANY).step(b"\x61" + answer[1:])  # what is answered is well-formed


def _as_responder(message: bytes) -> bytes:
    return respond(MANY, message, MIN_FRAME_BYTES)


def _as_initiator(message: bytes) -> bytes:
    return Initiator(MANY, MIN_FRAME_BYTES).step(message).message or b""


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(max_size=32)), max_size=20))
def test_bounds_are_read_as_they_were_written(bounds: list[tuple[int, bytes]]) -> None:
    rising = sorted(time.to_bytes(8, "big") + prefix for time, prefix in bounds)
    writer = BoundWriter()

    reader = Reader(b"".join(writer.encode(bound) for bound in rising), 0)

    assert [reader.bound() for _ in rising] == rising
