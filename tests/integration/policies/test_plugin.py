"""A strfry plug-in as a real program: every answer that it can give, and every way in which it can fail."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.background import BackgroundTasks
from relay.ingest import plugin as module
from relay.ingest.judgements import UNAVAILABLE, Judgements
from relay.ingest.plugin import NAME, Plugin
from relay.metrics import counters
from relay.policies.source import Source, SourceKind
from relay.policies.verdict import ACCEPT, SHADOW, Verdict, reject
from relay.protocol.errors import Failed
from relay.protocol.event import Event, StoredEvent
from tests.events import NOW, pubkey_of, secret, unsigned_event

PROGRAM = Path(__file__).parent / "strfry_plugin.py"
CLIENT = Source(SourceKind.CLIENT, "192.0.2.7")
SECONDS = 1.0


class Relay:
    """What stands before a plug-in: the queue of events that wait for it."""

    def __init__(self, command: str, *, events: int = 1_000, accepts: bool = False) -> None:
        self.tasks = BackgroundTasks()
        self.plugin = Plugin(command, SECONDS, self.tasks)
        self.queue = Judgements([(NAME, self.plugin)], self.tasks, seconds=SECONDS, events=events, accepts=accepts)
        self.order: list[str] = []
        self.plugin.start()

    def send(self, content: str, source: Source = CLIENT) -> "asyncio.Future[Verdict]":
        event = msgspec.convert(unsigned_event(content=content), Event)
        result: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def settle(verdict: Verdict) -> None:
            self.order.append(content)
            result.set_result(verdict)

        self.queue.submit(event, StoredEvent.of(event), source, settle)
        return result

    async def ask(self, content: str, source: Source = CLIENT) -> Verdict:
        return await asyncio.wait_for(self.send(content, source), 10)

    @property
    def pid(self) -> int:
        assert self.plugin._process is not None
        return self.plugin._process.pid


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Relay]]:
    started: list[Relay] = []

    def begin(command: str = f"{sys.executable} {PROGRAM}", **settings: Any) -> Relay:
        started.append(Relay(command, **settings))
        return started[-1]

    yield begin
    for relay in started:
        await relay.plugin.stop()
        await relay.tasks.stop()


Start = Callable[..., Relay]


async def test_its_three_answers_are_understood(start: Start) -> None:
    relay = start()
    assert await relay.ask("anything") == ACCEPT
    assert await relay.ask("shadow") == SHADOW
    assert await relay.ask("reject rate-limited: slow down") == Verdict(False, "rate-limited: slow down")
    assert await relay.ask("reject without a prefix") == Verdict(False, "blocked: without a prefix")
    assert await relay.ask("reject") == reject()


@pytest.mark.parametrize(
    "source, expected",
    [
        (CLIENT, {"sourceType": "IP4", "sourceInfo": "192.0.2.7"}),
        (Source(SourceKind.CLIENT, "2001:db8::1"), {"sourceType": "IP6", "sourceInfo": "2001:db8::1"}),
        (Source(SourceKind.IMPORT), {"sourceType": "Import", "sourceInfo": ""}),
        (Source(SourceKind.PEER, "wss://peer.example"), {"sourceType": "Stream", "sourceInfo": "wss://peer.example"}),
        (
            Source(SourceKind.CLIENT, "192.0.2.7", proved=frozenset({pubkey_of(secret(1)), "00" * 32})),
            {"sourceType": "IP4", "sourceInfo": "192.0.2.7", "authed": pubkey_of(secret(1))},
        ),
    ],
)
async def test_it_is_told_where_an_event_comes_from(start: Start, source: Source, expected: dict[str, str]) -> None:
    verdict = await start().ask("tell", source)
    told = json.loads(verdict.text.removeprefix("blocked: "))
    assert told.pop("receivedAt") > NOW
    assert told == {"type": "new", **expected}


async def test_01_e22_answers_out_of_order_take_effect_in_the_order_of_the_events(start: Start) -> None:
    relay = start()
    sent = ["hold 1", "hold 2", "free", "reject me", "last"]
    verdicts = await asyncio.wait_for(asyncio.gather(*[relay.send(content) for content in sent]), 10)
    assert relay.order == sent
    assert [verdict.accepted for verdict in verdicts] == [True, True, True, False, True]


async def test_it_is_started_again_when_it_is_killed(start: Start) -> None:
    relay, restarts = start(), counters.plugin_restarts
    await relay.ask("first")
    before = relay.pid
    os.killpg(before, signal.SIGKILL)
    assert await relay.ask("second") in (ACCEPT, Verdict(False, UNAVAILABLE))
    assert await relay.ask("third") == ACCEPT
    assert relay.pid != before
    assert counters.plugin_restarts == restarts + 1


async def test_what_was_in_flight_when_it_ended_gets_no_verdict(start: Start) -> None:
    relay = start()
    assert await relay.ask("die") == Verdict(False, UNAVAILABLE)
    assert await relay.ask("next") == ACCEPT


async def test_the_operator_may_choose_to_accept_without_a_verdict(start: Start) -> None:
    assert await start(accepts=True).ask("die") == ACCEPT


async def test_one_that_hangs_is_ended_at_the_time_limit_and_started_again(start: Start) -> None:
    relay, timeouts = start(), counters.policy_timeouts
    await relay.ask("first")
    before = relay.pid
    assert await relay.ask("hang") == Verdict(False, UNAVAILABLE)
    assert counters.policy_timeouts == timeouts + 1
    assert await relay.ask("next") == ACCEPT
    assert relay.pid != before


async def test_what_is_no_answer_is_counted_and_the_next_line_read(start: Start) -> None:
    relay, failures = start(), counters.policy_failures
    assert await relay.ask("garbage") == ACCEPT
    assert counters.policy_failures == failures + 4


@pytest.mark.parametrize("stream", ["", ">&2"])
async def test_one_that_only_prints_does_not_hold_up_the_loop(start: Start, stream: str) -> None:
    start(f"yes '' | head -c 3000000 {stream}")
    async with asyncio.timeout(10):
        for _ in range(100):  # 131,072 empty lines are there at a time, which take seconds
            await asyncio.sleep(0.001)


async def test_one_that_only_prints_is_ended(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    relay = start("yes hello")
    async with asyncio.timeout(10):
        while "in a row that are no answers" not in caplog.text:
            await asyncio.sleep(0.01)
    assert (await relay.ask("x")) == Verdict(False, UNAVAILABLE)


async def test_a_line_without_end_ends_it(start: Start) -> None:
    relay = start("head -c 200000 /dev/zero; cat > /dev/null")
    assert await relay.ask("first") == Verdict(False, UNAVAILABLE)


async def test_a_program_that_does_not_exist_harms_no_client(start: Start) -> None:
    assert await start("/does/not/exist").ask("first") == Verdict(False, UNAVAILABLE)


async def test_too_many_waiting_events_are_refused_at_once(start: Start) -> None:
    relay = start("cat > /dev/null", events=2)
    waiting = [relay.send("1"), relay.send("2")]
    with pytest.raises(Failed, match="too busy"):
        relay.send("3")
    await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert (len(relay.queue), relay.queue.bytes) == (0, 0)


async def test_its_standard_error_goes_to_the_log(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "relay.plugin")
    relay = start()
    await relay.ask("log hello")
    async with asyncio.timeout(10):
        while "from the plug-in: hello" not in caplog.text:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("first_line", ["", "trap '' TERM\n"], ids=["plain", "one that ignores SIGTERM, by SIGKILL"])
async def test_a_changed_file_is_started_again(
    first_line: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)
    script = tmp_path / "policy"
    script.write_text(f"#!/bin/sh\n{first_line}exec {sys.executable} {PROGRAM}\n")
    script.chmod(0o755)
    relay = start(str(script))
    await relay.ask("first")
    before = relay.pid
    os.utime(script, (1, 1))
    async with asyncio.timeout(10):
        while relay.plugin._process is None or relay.pid == before:
            await asyncio.sleep(0.01)
    assert await relay.ask("next") == ACCEPT
