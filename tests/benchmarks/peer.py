"""A relay in Rust that pip installs, to be measured as a peer: nostr-sdk's LocalRelayBuilder.

`python -m tests.benchmarks.peer [--port N]` prints its address and serves until Ctrl-C; measure it with
`manage.py loadtest ADDRESS --scenario ...`. It keeps its events in memory and nothing is durable.
"""

import argparse
import asyncio
import contextlib

from nostr_sdk import LocalRelayBuilder, RateLimit

UNLIMITED = 1_000_000


async def serve(port: int) -> None:
    """Serve until the task is cancelled."""
    limit = RateLimit(max_reqs=UNLIMITED, notes_per_minute=UNLIMITED)
    relay = LocalRelayBuilder().port(port).max_connections(UNLIMITED).rate_limit(limit).build()
    await relay.run()
    print(await relay.url(), flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        relay.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peer", description=__doc__)
    parser.add_argument("--port", type=int, default=7001, help="default: 7001")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
