"""Real verifying processes, and their end."""

import asyncio
from contextlib import suppress

import orjson

from relay.protocol.limits import Limits
from relay.transfer.verifier import Settings
from relay.transfer.verifiers import Verifiers
from tests.events import sign_event

SECONDS = 20.0


def large_lines() -> list[bytes]:
    """A chunk whose answer is larger than what a StreamReader buffers before it is read."""
    event = orjson.dumps(sign_event(content="x" * 40_000))
    return [event] * 12


async def test_a_verifier_whose_answer_is_never_read_is_ended() -> None:
    verifiers = Verifiers(Settings(Limits(), trusted=True), 1)
    await verifiers.start()
    async with asyncio.timeout(SECONDS):
        cancelled = asyncio.create_task(verifiers.verify(large_lines()))
        (process,) = verifiers._started
        assert process.stdout is not None
        await asyncio.sleep(0)
        cancelled.cancel()
        with suppress(asyncio.CancelledError):
            await cancelled
        while not process.stdout._paused:  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)
        await verifiers.stop()
    assert process.returncode is not None
