"""What an event costs one core before and after the database: parse, hash, verify, match, index, frame, deliver."""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import orjson
from coincurve import PublicKeyXOnly
from prometheus_client import Histogram as PrometheusHistogram

from relay.changes.change import Added
from relay.changes.intake import Intake
from relay.changes.ring import Ring
from relay.metrics import SECONDS_BOUNDS, Histogram
from relay.protocol.event import Event, StoredEvent
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.protocol.messages import EventMessage, event_head, parse_message
from relay.subscriptions.hub import Hub
from relay.subscriptions.index import FilterIndex
from relay.subscriptions.outbox import Flusher, Outbox
from relay.subscriptions.subscription import Subscription
from tests.benchmarks.figure import Figure, paired
from tests.events import secret, sign_event

LIMITS = Limits()
SUBSCRIBERS = 200


@cache
def events() -> Sequence[dict[str, object]]:
    """300 signed notes of 30 authors with tags and some 200 characters each; the same in every run."""
    rng = random.Random(1)
    made: list[dict[str, object]] = []
    for number in range(300):
        tags = [["t", rng.choice(("nostr", "zap", "relay"))]]
        if made:
            earlier = rng.choice(made)
            tags += [["e", str(earlier["id"])], ["p", str(earlier["pubkey"])]]
        content = " ".join(rng.choices(["nostr", "relay", "zap", "note", "bitcoin", "coffee", "signal", "block"], k=30))
        made.append(
            sign_event(
                secret(number % 30 + 1), kind=rng.choice((1, 1, 7)), content=content, tags=tags, created_at=number
            )
        )
    return made


def frames() -> Sequence[bytes]:
    """The events as a client sends them."""
    return [orjson.dumps(["EVENT", event]) for event in events()]


def parsed() -> Sequence[Event]:
    """The events as the protocol core has them."""
    messages = [parse_message(frame, LIMITS) for frame in frames()]
    return [message.event for message in messages if isinstance(message, EventMessage)]


def parse() -> Figure:
    """A frame to a message, against decoding its JSON and nothing else."""
    given = frames()

    def ours() -> int:
        for frame in given:
            parse_message(frame, LIMITS)
        return len(given)

    def bare() -> int:
        for frame in given:
            orjson.loads(frame)
        return len(given)

    return paired("parse an EVENT", ours, "orjson.loads", bare)


def check_id() -> Figure:
    """The id of an event, against a hash of bytes that are there already."""
    given = parsed()
    texts = [event.json for event in given]

    def ours() -> int:
        return sum(event.has_valid_id() for event in given)

    def bare() -> int:
        for text in texts:
            hashlib.sha256(text).hexdigest()
        return len(texts)

    return paired("check an id", ours, "sha256 of the same length", bare)


def verify() -> Figure:
    """A signature, against one verify of libsecp256k1."""
    given = parsed()
    raw = [(bytes.fromhex(e.pubkey), bytes.fromhex(e.sig), bytes.fromhex(e.id)) for e in given]

    def ours() -> int:
        return sum(event.has_valid_signature() for event in given)

    def bare() -> int:
        return sum(PublicKeyXOnly(pubkey).verify(sig, digest) for pubkey, sig, digest in raw)

    return paired("verify a signature", ours, "coincurve verify", bare)


def _filters() -> Sequence[Filter]:
    authors = sorted({str(event["pubkey"]) for event in events()})
    asked: list[object] = []
    for number in range(1000):
        shapes: tuple[dict[str, object], ...] = (
            {"authors": [authors[number % 30]], "kinds": [1]},
            {"kinds": [number % 50 + 10], "#t": ["nostr"]},
            {"#p": [authors[number % 30]], "kinds": [1, 7]},
            {"#e": [hashlib.sha256(b"%d" % number).hexdigest()]},
            {"ids": [hashlib.sha256(b"%d" % number).hexdigest()]},
        )
        asked.append(shapes[number % len(shapes)])
    return [parse_filter(value, LIMITS) for value in asked]


def index() -> Figure:
    """An event among 1,000 open filters, against asking each of them."""
    filters = _filters()
    tree: FilterIndex[int] = FilterIndex()
    for number, flt in enumerate(filters):
        tree.add(number, (flt,))
    while tree.is_entering:
        tree.enter_some()
    given = [StoredEvent.of(event) for event in parsed()]

    def ours() -> int:
        for event in given:
            sum(filters[number].matches(event) for found in tree.candidates(event) for number in found)
        return len(given)

    def bare() -> int:
        for event in given[:30]:
            sum(flt.matches(event) for flt in filters)
        return 30

    return paired("match among 1,000 filters", ours, "each filter asked", bare)


class _Sink:
    """A wire that takes everything and keeps nothing."""

    def __init__(self) -> None:
        self.got = 0

    def send_frames(self, frames: Sequence[bytes]) -> None:
        self.got += len(frames)

    def buffered_bytes(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def cut(self) -> None: ...


class _Now(Flusher):
    """Flushes when it is told to, so that no loop is needed."""

    def __init__(self) -> None:
        self.outboxes: list[Outbox] = []

    def add(self, outbox: Outbox) -> None:
        self.outboxes.append(outbox)

    def flush(self) -> None:
        waiting, self.outboxes = self.outboxes, []
        for outbox in waiting:
            outbox.flush()


def deliver() -> Figure:
    """Ten events to 200 subscribers in one batch, frames made and handed to the wire, against joins alone."""
    intake = Intake(Ring(0, 1 << 26))
    hub, flusher = Hub(intake), _Now()
    hub.backlog.slice_seconds = float("inf")  # no loop runs, in which the rest of a slow delivery could go on
    heads = [event_head(f"sub{number}") for number in range(SUBSCRIBERS)]
    flt = parse_filter({"kinds": [1, 7]}, LIMITS)
    for head in heads:
        subscription = Subscription(Outbox(_Sink(), flusher, 1 << 30, lambda: None), head, (flt,))
        hub.open(subscription)
        hub.release(subscription, 0)
    given = [StoredEvent.of(event) for event in parsed()]
    numbers = iter(range(1, 1 << 60))

    def batches() -> Iterator[list[Added]]:
        for start in range(0, 100, 10):
            yield [Added(next(numbers), event) for event in given[start : start + 10]]

    def ours() -> int:
        for changes in batches():
            hub.deliver(changes)
            flusher.flush()
        return 100 * SUBSCRIBERS

    def bare() -> int:
        for event in given[:100]:
            for head in heads:
                head + event.json + b"]"
        return 100 * SUBSCRIBERS

    return paired("deliver to 200 subscribers", ours, "joins of three bytes objects", bare)


def count() -> Figure:
    """A latency into its bucket, as each query and each OK costs, against prometheus_client's histogram."""
    seconds = [random.Random(1).expovariate(100) for _ in range(100_000)]
    histogram = Histogram(SECONDS_BOUNDS)
    theirs = PrometheusHistogram("benchmark_seconds", "of this benchmark", buckets=SECONDS_BOUNDS, registry=None)

    def fill(observe: Callable[[float], None]) -> int:
        for value in seconds:
            observe(value)
        return len(seconds)

    return paired("count a latency", lambda: fill(histogram.observe), "prometheus_client", lambda: fill(theirs.observe))


FIGURES = {
    "count": count,
    "parse": parse,
    "id": check_id,
    "verify": verify,
    "index": index,
    "deliver": deliver,
}
