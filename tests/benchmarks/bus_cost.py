"""`python -m tests.benchmarks.bus_cost [cluster]`: what the bus costs a worker for an event that none of its
subscriptions matches.

Figures are microseconds of CPU of one process: a message received, unpacking, ring, subscriptions and window; and of
the servers for each delivery. Then what 20 and 100 instances of four workers come to. With `cluster`: six nodes, once
with plain and once with sharded publish/subscribe.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import uvloop

from relay.changes.change import Added, Batch
from relay.changes.intake import Intake
from relay.changes.ring import Ring
from relay.changes.window import Window
from relay.protocol.event import StoredEvent
from relay.protocol.filters import parse_filter
from relay.protocol.messages import event_head
from relay.storage.store import Store
from relay.subscriptions.bus import Bus, pack, unpack
from relay.subscriptions.bus_line import layer_of
from relay.subscriptions.hub import Hub
from relay.subscriptions.outbox import Flusher, Outbox
from relay.subscriptions.subscription import Subscription
from tests.benchmarks.core import LIMITS, _Now, _Sink, parsed
from tests.integration.caching.valkeys import Node, cluster, folder, nodes
from tests.ports import free_ports

STORE = Store("a" * 16, "b" * 16, 3)
MESSAGES = 3_000
PAUSE_SECONDS = 0.001
SUBSCRIPTIONS = 10_000
FOLLOWED = 100
ROUNDS = 3
SUBSCRIBERS = 60
WORKERS = 4
INSTANCES = (20, 100)
EVENTS_PER_SECOND = (100, 1_000, 5_000)

PUBLISHER = """
import sys, time, redis
port, count, pause, way, channel = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4], sys.argv[5]
data = sys.stdin.buffer.read()
client = redis.Redis(port=port)
for _ in range(count):
    client.execute_command(way, channel, data)
    time.sleep(pause)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of CPU: of a worker for a message and for an event in it, of the server for a delivery."""

    message: float
    event: float
    delivery: float


def texts() -> Sequence[StoredEvent]:
    """Events as they are received."""
    return [StoredEvent.of(event) for event in parsed()]


def microseconds(work: Callable[[], int]) -> float:
    """CPU of this process for each thing that `work` does; the least of some rounds."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        done = work()
        found.append((time.process_time() - start) / done * 1e6)
    return min(found)


async def of_an_event() -> dict[str, float]:
    """Each step of an event that no subscription here matches."""
    events = texts()
    packed = [pack(Batch.of([Added(number, event)])) for number, event in enumerate(events, 1)]
    numbers = iter(range(1, 1 << 60))
    intake, window = Intake(Ring(0, 1 << 24)), Window(1 << 24)
    hub = await unwanted(intake)
    window.extend([], True, [], 0)

    def unpacked() -> int:
        for raw in packed:
            unpack(raw)
        return len(packed)

    def stepped(step: Callable[[Added], object]) -> int:
        for event in events:
            step(Added(next(numbers), event))
        return len(events)

    def ring(change: Added) -> None:
        intake.ring.append(Batch.of([change]))

    return {
        "unpack": microseconds(unpacked),
        "ring": microseconds(partial(stepped, ring)),
        "subscriptions": microseconds(partial(stepped, lambda change: hub.deliver([change]))),
        "window": microseconds(partial(stepped, lambda change: window.apply([change], change.seq))),
    }


async def unwanted(intake: Intake) -> Hub:
    """Ten thousand home feeds of a hundred authors, none of whom writes."""
    chance, flusher = random.Random(1), _Now()
    hub, authors = Hub(intake), [chance.randbytes(32).hex() for _ in range(5_000)]
    for number in range(SUBSCRIPTIONS):
        flt = parse_filter({"kinds": [1, 7], "authors": chance.sample(authors, FOLLOWED)}, LIMITS)
        subscription = Subscription(outbox(flusher), event_head(f"feed{number}"), (flt,))
        hub.open(subscription)
        hub.release(subscription, 0)
    while hub.backlog.is_scheduled:  # the index takes them in pieces
        await asyncio.sleep(0.01)
    return hub


def outbox(flusher: Flusher) -> Outbox:
    """One that nothing is written to."""
    return Outbox(_Sink(), flusher, 1 << 30, lambda: None)


def of_a_message(node: Node) -> tuple[float, float]:
    """To receive a message that holds no change: all that the bus does but for the events. And what the channel layer's
    own receiver takes for it, in turns.
    """
    ours, layers = [], []
    for _ in range(ROUNDS):
        ours.append(uvloop.run(received(node)))
        layers.append(uvloop.run(received_by_layer(node)))
    return min(ours), min(layers)


async def received_by_layer(node: Node) -> float:
    """The same messages through the channel layer's receiver."""
    layer = layer_of(node.url)
    channel = await layer.new_channel()
    await layer.group_add(f"relay.{STORE.identity}", channel)
    await asyncio.sleep(0.3)
    publisher = publish(node, "PUBLISH", f"relay__group__relay.{STORE.identity}", message_of(node))

    async def all_received() -> None:
        for _ in range(MESSAGES):
            await layer.receive(channel)

    cost = await spent(all_received())
    publisher.wait()
    await layer.flush()
    return cost / MESSAGES * 1e6


def message_of(node: Node) -> bytes:
    """As long as one with an event."""
    message = {"type": "relay.bus", "from": "x" * 32, "store": STORE.name, "changes": pack(Batch(1, 0, []))}
    serialize: Any = layer_of(node.url).channel_layer.serialize
    return bytes(serialize({**message, "text": b"x" * 700}))


async def received(node: Node) -> float:
    """One after the other, as from many instances; what the bus costs at rest is left out."""
    bus = Bus(lambda batch: None, lambda event: None, lambda: STORE, urls=(node.url,))
    bus.start()
    while not bus._lines[0].up:
        await asyncio.sleep(0.01)
    rest = await spent(asyncio.sleep(1.0))
    start = time.monotonic()
    publisher = publish(node, "PUBLISH", f"relay__group__relay.{STORE.identity}", message_of(node))

    async def all_received() -> None:
        while bus.received < MESSAGES:
            await asyncio.sleep(0.05)

    cost = await spent(all_received())
    publisher.wait()
    cost -= rest * (time.monotonic() - start)
    await bus.stop()
    return cost / MESSAGES * 1e6


async def spent(work: Any) -> float:
    """Seconds of CPU of this process while `work` is awaited."""
    start = time.process_time()
    await work
    return time.process_time() - start


def publish(node: Node, way: str, channel: str, data: bytes) -> "subprocess.Popen[bytes]":
    """Publish MESSAGES from another process."""
    words = [str(node.port), str(MESSAGES), str(PAUSE_SECONDS), way, channel]
    process = subprocess.Popen([sys.executable, "-c", PUBLISHER, *words], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.close()
    return process


class Subscriber(asyncio.Protocol):
    """Counts bytes; cheap, so that the servers are what is measured."""

    def __init__(self, command: bytes) -> None:
        self.got = 0
        self._command = command

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio.Protocol."""
        cast(asyncio.WriteTransport, transport).write(self._command)

    def data_received(self, data: bytes) -> None:
        """From asyncio.Protocol."""
        self.got += len(data)


async def of_servers(servers: Sequence[Node], at: Sequence[Node], way: str, source: Node) -> float:
    """CPU of all servers for each delivery to SUBSCRIBERS, which are spread over the servers `at`."""
    loop = asyncio.get_running_loop()
    command = f"{way.replace('PUBLISH', 'SUBSCRIBE')} bus\r\n".encode()
    connected = []
    for number in range(SUBSCRIBERS):
        place = at[number % len(at)].port
        connected.append(await loop.create_connection(partial(Subscriber, command), "127.0.0.1", place))
    await asyncio.sleep(0.3)
    before = sum(map(cpu_of, servers))
    publisher = publish(source, way, "bus", b"x" * 800)
    while sum(subscriber.got for _, subscriber in connected) < MESSAGES * SUBSCRIBERS * 800:
        await asyncio.sleep(0.05)
    publisher.wait()
    found = sum(map(cpu_of, servers)) - before
    for transport, _ in connected:
        transport.close()
    return found / MESSAGES / SUBSCRIBERS * 1e6


def cpu_of(node: Node) -> float:
    """Seconds of CPU of a server so far."""
    assert node._process is not None
    with open(f"/proc/{node._process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def simulation(cost: Cost) -> str:
    """What the bus comes to in a worker and at its server, for batches of one event, the dearest."""
    lines = [f"{'instances':>9} {'events/s':>9} {'worker: core':>13} {'server: cores':>14} {'server: MB/s':>13}"]
    for instances in INSTANCES:
        for rate in EVENTS_PER_SECOND:
            worker = rate * (cost.message + cost.event) / 1e6
            deliveries = rate * instances * WORKERS
            server = deliveries * cost.delivery / 1e6
            lines.append(f"{instances:>9} {rate:>9,} {worker:>13.1%} {server:>14.2f} {deliveries * 850 / 1e6:>13,.0f}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] == ["cluster"]:
        with cluster() as six:
            everyone = [*six.masters, *six.replicas]
            owner = six.master_of(key_slot_of_bus())
            plain = uvloop.run(of_servers(everyone, everyone, "PUBLISH", owner))
            sharded = uvloop.run(of_servers(everyone, [owner], "SPUBLISH", owner))
        print(
            f"CPU of six nodes for a delivery to one of {SUBSCRIBERS}: plain {plain:.1f} us, sharded {sharded:.1f} us"
        )
        return
    steps = uvloop.run(of_an_event())
    with folder() as path, nodes(path, free_ports(1)) as (node,):
        message, by_layer = of_a_message(node)
        delivery = uvloop.run(of_servers([node], [node], "PUBLISH", node))
    cost = Cost(message, sum(steps.values()), delivery)
    print(f"a message received: {message:.0f} us ({by_layer:.0f} us by the channel layer's own receiver)")
    print(f"an event in it: {cost.event:.1f} us")
    print("  " + ", ".join(f"{name} {value:.1f}" for name, value in steps.items()))
    print(f"a delivery by the server: {delivery:.2f} us\n")
    print(simulation(cost))


def key_slot_of_bus() -> int:
    """The hash slot of the channel."""
    from relay.caching.shared.slots import key_slot

    return key_slot(b"bus")


if __name__ == "__main__":
    main()
