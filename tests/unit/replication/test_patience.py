"""What a run does while its peer is away, has no room, or refuses."""

from typing import Any

import pytest

from replication.answers import Accepts, Fate, Outcome, Taken, decode_events, encode
from replication.client import Answer, PeerError
from replication.reconcile.asking import PeerFault
from replication.reconcile.desk import Given
from replication.reconcile.patience import TRIES, patient
from replication.reconcile.pushing import MOST_WAITS, pusher


class Client:
    """Fails as it is told, then answers."""

    def __init__(self, *failures: PeerError) -> None:
        self.failures = list(failures)
        self.asked = 0

    def post(self, path: str, content: bytes) -> Answer:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return Answer(200, b"answer", 0.0, 0)


def asked(client: Any) -> tuple[bytes, list[float]]:
    slept: list[float] = []
    return patient(client, slept.append)("/path", b"content"), slept


def test_a_peer_that_is_away_is_asked_again_after_longer_and_longer_waits() -> None:
    answer, slept = asked(Client(*[PeerError("does not answer")] * 3))

    assert answer == b"answer"
    assert [0.5 <= slept[0] <= 1, 1 <= slept[1] <= 2, 2 <= slept[2] <= 4] == [True] * 3


def test_a_peer_without_room_says_when_to_come_back() -> None:
    _, slept = asked(Client(PeerError("full", status=503, retry_seconds=7)))

    assert 7 <= slept[0] <= 14


def test_a_peer_that_stays_away_ends_the_run() -> None:
    client = Client(*[PeerError("does not answer")] * 100)

    with pytest.raises(PeerError):
        asked(client)
    assert client.asked == TRIES


def test_a_peer_that_is_silent_for_a_minute_at_a_time_is_not_asked_for_many() -> None:
    client: Any = Client(*[PeerError("timed out")] * 100)
    minutes = iter(range(0, 6_000, 60))

    with pytest.raises(PeerError):
        patient(client, lambda seconds: None, lambda: next(minutes))("/path", b"content")
    assert client.asked == 1


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500])
def test_a_refusal_is_not_repeated(status: int) -> None:
    client = Client(PeerError("refused", status=status))

    with pytest.raises(PeerError):
        asked(client)
    assert client.asked == 1


class Receiver:
    """Takes events, and says each time how much it takes next."""

    def __init__(self, *accepts: Accepts) -> None:
        self.accepts = list(accepts)
        self.batches: list[list[bytes]] = []
        self.slept: list[float] = []

    def ask(self, _path: str, content: bytes) -> bytes:
        texts = decode_events(content)
        self.batches.append(texts)
        accepts = self.accepts.pop(0) if self.accepts else Accepts()
        return encode(Taken([Outcome(Fate.STORED) for _ in texts], accepts))

    def push(self, *texts: bytes) -> list[Given]:
        return list(pusher(self.ask, self.slept.append)(texts))


def test_events_are_pushed_as_many_at_a_time_as_the_peer_takes() -> None:
    receiver = Receiver(Accepts(events=1), Accepts(events=500, bytes=5), Accepts())
    push = pusher(receiver.ask, receiver.slept.append)

    push([b"1"])
    given = push([b"2", b"30", b"400", b"5"])

    assert given == [Given("stored")] * 4
    assert receiver.batches == [[b"1"], [b"2"], [b"30", b"400"], [b"5"]]
    assert receiver.slept == []


def test_a_peer_that_takes_nothing_now_is_waited_for_and_tried_with_one() -> None:
    receiver = Receiver(Accepts(0, 0, 300), Accepts(0, 0, 300), Accepts())
    push = pusher(receiver.ask, receiver.slept.append)

    push([b"1"])
    push([b"2", b"3", b"4"])

    assert receiver.batches == [[b"1"], [b"2"], [b"3"], [b"4"]]
    assert receiver.slept == [0.3, 0.3]


def test_a_peer_that_takes_nothing_for_long_ends_the_run() -> None:
    receiver = Receiver(*[Accepts(0, 0, 1)] * 1_000)
    push = pusher(receiver.ask, receiver.slept.append)

    push([b"1"])
    with pytest.raises(PeerFault):
        push([b"1"] * 500)
    assert len(receiver.slept) == MOST_WAITS


@pytest.mark.parametrize(
    "answer", [b"{}", encode(Taken([], Accepts())), encode(Taken([Outcome(Fate.STORED)] * 3, Accepts()))]
)
def test_outcomes_of_other_events_end_the_run(answer: bytes) -> None:
    with pytest.raises(PeerFault):
        pusher(lambda path, content: answer)([b"1", b"2"])


def test_a_peer_cannot_have_a_run_wait_for_as_long_as_it_likes() -> None:
    _, slept = asked(Client(PeerError("full", status=503, retry_seconds=300)))

    assert slept[0] <= 30
