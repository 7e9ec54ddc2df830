"""`python -m tests.benchmarks.valkey_clients [in flight ...]`: what clients of Valkey cost, ours among them.

Figures are microseconds of CPU an operation (all threads of this process), the ratio to ours, and the median latency.
Operations are those of the shared cache, over loopback TCP, by as many coroutines as are in flight.
Clients that are not installed are left out: `pip install valkey-glide coredis` brings them.
"""

import asyncio
import hashlib
import statistics
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Any

import uvloop
from redis.asyncio import Redis
from redis.asyncio.connection import Connection as RedisConnection

from relay.caching.shared import Shared
from tests.integration.caching.valkeys import folder, nodes
from tests.ports import free_ports

ROUNDS = 5
COMMANDS = 600
VALUE = b"x" * 600
KEYS = [b"v1:{%032d}:event" % number for number in range(20)]
ZSET, MEMBER = b"v1:positions", b"store.1"
SCRIPT = b"redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[2]) return redis.call('ZSCORE', KEYS[1], ARGV[2])"
SHA = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()

COMMANDS_OF: dict[str, tuple[bytes, ...]] = {
    "ZSCORE": (b"ZSCORE", ZSET, MEMBER),
    "GET": (b"GET", KEYS[0]),
    "MGET of 20": (b"MGET", *KEYS),
    "SET with PX": (b"SET", KEYS[1], VALUE, b"PX", b"60000"),
    "EVALSHA": (b"EVALSHA", SHA.encode(), b"1", ZSET, b"7", MEMBER),
}
Work = Callable[[], Awaitable[object]]
Works = dict[str, Work]


@asynccontextmanager
async def ours(port: int) -> AsyncIterator[Works]:
    """The relay's own client, an awaited future a command."""
    shared = Shared(f"redis://127.0.0.1:{port}", timeout_seconds=5)
    await shared.start()
    while not shared.up:
        await asyncio.sleep(0.01)
    yield {name: partial(shared.call, parts[1], *parts) for name, parts in COMMANDS_OF.items()}
    await shared.stop()


def _of_redis(client: Any) -> Works:
    return {
        "ZSCORE": lambda: client.zscore(ZSET, MEMBER),
        "GET": lambda: client.get(KEYS[0]),
        "MGET of 20": lambda: client.mget(KEYS),
        "SET with PX": lambda: client.set(KEYS[1], VALUE, px=60_000),
        "EVALSHA": lambda: client.evalsha(SHA, 1, ZSET, 7, MEMBER),
    }


@asynccontextmanager
async def redis_pooled(port: int) -> AsyncIterator[Works]:
    """redis-py with hiredis, its usual way: a connection for each command in flight."""
    async with Redis(port=port, max_connections=64) as client:
        yield _of_redis(client)


@asynccontextmanager
async def redis_single(port: int) -> AsyncIterator[Works]:
    """redis-py on one connection: one command after the other, under its lock."""
    async with Redis(port=port, single_connection_client=True) as client:
        yield _of_redis(client)


@asynccontextmanager
async def redis_batched(port: int) -> AsyncIterator[Works]:
    """redis-py with everything that waits put into one pipeline: one connection, one batch in flight."""
    loop = asyncio.get_running_loop()
    waiting: list[tuple[tuple[bytes, ...], asyncio.Future[object]]] = []
    arrived = asyncio.Event()

    async def run() -> None:
        while True:
            await arrived.wait()
            arrived.clear()
            batch = waiting.copy()
            waiting.clear()
            pipeline = client.pipeline(transaction=False)
            for parts, _ in batch:
                pipeline.execute_command(*parts)
            for (_, future), reply in zip(batch, await pipeline.execute(raise_on_error=False), strict=True):
                future.set_result(reply)

    def call(parts: tuple[bytes, ...]) -> Awaitable[object]:
        future: asyncio.Future[object] = loop.create_future()
        waiting.append((parts, future))
        arrived.set()
        return future

    async with Redis(port=port) as client:
        task = loop.create_task(run())
        yield {name: partial(call, parts) for name, parts in COMMANDS_OF.items()}
        task.cancel()


@asynccontextmanager
async def redis_connection(port: int) -> AsyncIterator[Works]:
    """redis-py's Connection (greeting, packing, parser) with a queue of futures of our own around it."""
    loop = asyncio.get_running_loop()
    connection = RedisConnection(port=port, socket_timeout=None)
    await connection.connect()  # type: ignore[no-untyped-call]
    waiting: deque[asyncio.Future[object]] = deque()
    out: list[bytes] = []
    writer: Any = connection._writer

    def flush() -> None:
        writer.write(b"".join(out))
        out.clear()

    async def read_all() -> None:
        while True:
            reply = await connection.read_response(disable_decoding=True)
            waiting.popleft().set_result(reply)

    def call(parts: tuple[bytes, ...]) -> Awaitable[object]:
        future: asyncio.Future[object] = loop.create_future()
        waiting.append(future)
        if not out:
            loop.call_soon(flush)
        out.extend(connection.pack_command(*parts))
        return future

    task = loop.create_task(read_all())
    yield {name: partial(call, parts) for name, parts in COMMANDS_OF.items()}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await connection.disconnect()


@asynccontextmanager
async def glide(port: int) -> AsyncIterator[Works]:
    """valkey-glide: the core in Rust, on threads of its own."""
    library = import_module("glide")
    configuration = library.GlideClientConfiguration([library.NodeAddress("127.0.0.1", port)])
    client = await library.GlideClient.create(configuration)
    script = library.Script(SCRIPT)
    expiry = library.ExpirySet(library.ExpiryType.MILLSEC, 60_000)
    yield {
        "ZSCORE": lambda: client.zscore(ZSET, MEMBER),
        "GET": lambda: client.get(KEYS[0]),
        "MGET of 20": lambda: client.mget(KEYS),
        "SET with PX": lambda: client.set(KEYS[1], VALUE, expiry=expiry),
        "EVALSHA": lambda: client.invoke_script(script, keys=[ZSET], args=[b"7", MEMBER]),
    }
    await client.close()


@asynccontextmanager
async def coredis(port: int) -> AsyncIterator[Works]:
    """coredis, one connection that its commands share."""
    library = import_module("coredis")
    async with library.Redis(port=port, max_connections=1) as client:
        yield {
            "ZSCORE": lambda: client.zscore(ZSET, MEMBER),
            "GET": lambda: client.get(KEYS[0]),
            "MGET of 20": lambda: client.mget(KEYS),
            "SET with PX": lambda: client.set(KEYS[1], VALUE, px=60_000),
            "EVALSHA": lambda: client.evalsha(SHA, keys=[ZSET], args=[7, MEMBER]),
        }


CLIENTS: dict[str, Callable[[int], Any]] = {
    "ours": ours,
    "redis-py, pool": redis_pooled,
    "redis-py, one connection": redis_single,
    "redis-py, batched": redis_batched,
    "redis-py Connection + queue": redis_connection,
    "valkey-glide": glide,
    "coredis": coredis,
}


async def timed(work: Work, in_flight: int) -> tuple[float, float]:
    """CPU seconds an operation, and the median latency in seconds."""
    latencies: list[float] = []
    each = max(1, COMMANDS // in_flight)

    async def one() -> None:
        for _ in range(each):
            start = time.perf_counter()
            await work()
            latencies.append(time.perf_counter() - start)

    start = time.process_time()
    await asyncio.gather(*[one() for _ in range(in_flight)])
    return (time.process_time() - start) / len(latencies), statistics.median(latencies)


async def compare(port: int, in_flight: int) -> list[str]:
    """The lines of the table for one number in flight; clients take turns, medians over the rounds."""
    async with AsyncExitStack() as stack:
        clients: dict[str, Works] = {}
        for name, connect in CLIENTS.items():
            try:
                clients[name] = await stack.enter_async_context(connect(port))
            except ImportError:
                print(f"{name} is not installed: pip install {name}", file=sys.stderr)
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for turn in range(ROUNDS + 1):
            for operation in COMMANDS_OF:
                for name, works in clients.items():
                    result = await timed(works[operation], in_flight)
                    if turn:  # the first one warms up
                        found.setdefault((operation, name), []).append(result)
    lines = []
    for operation in COMMANDS_OF:
        yardstick = statistics.median(cpu for cpu, _ in found[operation, "ours"])
        for name in clients:
            cpu = statistics.median(cpu for cpu, _ in found[operation, name])
            latency = statistics.median(latency for _, latency in found[operation, name])
            lines.append(
                f"{operation:12}{in_flight:10}  {name:28}{cpu * 1e6:9.1f}{cpu / yardstick:8.2f}{latency * 1e6:10.0f}"
            )
    return lines


def main() -> None:
    """Start a Valkey, fill it with what is asked for, and print the table."""
    print(f"{'operation':12}{'in flight':>10}  {'client':28}{'CPU us':>9}{'ratio':>8}{'p50 us':>10}")
    with folder() as path, nodes(path, free_ports(1)) as (server,):
        server.admin.mset(dict.fromkeys(KEYS, VALUE))
        server.admin.zadd(ZSET, {MEMBER: 5})
        server.admin.script_load(SCRIPT)
        for in_flight in [int(text) for text in sys.argv[1:]] or [1, 8, 64]:
            print("\n".join(uvloop.run(compare(server.port, in_flight))), flush=True)


if __name__ == "__main__":
    main()
