"""Clients that keep a ledger: what was acknowledged, what was delivered, and whether each answer was right.

Every client connects again when its connection ends, as real ones do. `successes` are the times at which it got what it
asked for; the long intervals between them, gaps, are what users notice.
"""

import asyncio
import contextlib
import itertools
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.events import pubkey_of, sign_event

ANSWER_SECONDS = 20.0
"""A client that hears nothing for so long connects again."""

PAUSE_SECONDS = 0.2
GAP_SECONDS = 1.5
"""An interval between two successes of a client that it notices: it asks several times a second."""

RETRY_SECONDS = 0.05
_questions = itertools.count()


@dataclass(slots=True)
class Ledger:
    """What all publishers were told, by author. acknowledged: id -> when its OK came. sent: ids that may be stored."""

    acknowledged: dict[str, dict[str, float]] = field(default_factory=dict)
    sent: dict[str, set[str]] = field(default_factory=dict)

    def all(self) -> set[str]:
        """Every acknowledged id."""
        return {event_id for ids in self.acknowledged.values() for event_id in ids}


class Client:
    """A loop of one kind of work over a connection that is opened again whenever it ends."""

    def __init__(self, url: str) -> None:
        self.successes: list[float] = []
        self.gaps: list[tuple[float, float]] = []
        self._url = url
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def succeed(self) -> float:
        """Note that it got what it asked for, now."""
        now = time.monotonic()
        if self.successes and now - self.successes[-1] > GAP_SECONDS:
            self.gaps.append((self.successes[-1], now))
        self.successes.append(now)
        return now

    def is_well_since(self, moment: float) -> bool:
        """Whether it has gone on without a gap from `moment` until now."""
        if not self.successes or time.monotonic() - self.successes[-1] > GAP_SECONDS:
            return False
        return self.successes[-1] > moment and (not self.gaps or self.gaps[-1][1] <= moment)

    def longest_wait(self, since: float) -> float:
        """The longest interval between two successes that ended after `since`."""
        pairs = itertools.pairwise(self.successes)
        return max((after - before for before, after in pairs if after > since), default=0.0)

    async def stop(self) -> None:
        """End after the request under way."""
        self._over.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._task, ANSWER_SECONDS + 5.0)

    async def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(WebSocketException, OSError, TimeoutError):
                async with connect(self._url, compression=None, max_size=2**24, open_timeout=5, close_timeout=1) as ws:
                    await self._work(ws)
            await asyncio.sleep(RETRY_SECONDS)

    async def _work(self, ws: ClientConnection) -> None:
        raise NotImplementedError


async def _receive(ws: ClientConnection) -> list[Any]:
    """The next message that is no challenge."""
    while True:
        message = json.loads(await ws.recv())
        if message[0] != "AUTH":
            return list(message)


class Publisher(Client):
    """Notes of one author, one after the other."""

    def __init__(self, url: str, author: bytes, ledger: Ledger) -> None:
        self._author = author
        self.pubkey = pubkey_of(author)
        self._acknowledged = ledger.acknowledged.setdefault(self.pubkey, {})
        self._sent = ledger.sent.setdefault(self.pubkey, set())
        super().__init__(url)

    async def _work(self, ws: ClientConnection) -> None:
        while not self._over.is_set():
            event = sign_event(self._author, content=os.urandom(8).hex(), created_at=int(time.time()))
            self._sent.add(event["id"])
            await ws.send(json.dumps(["EVENT", event]))
            async with asyncio.timeout(ANSWER_SECONDS):
                while (answer := await _receive(ws))[:2] != ["OK", event["id"]]:
                    pass
            if answer[2]:
                self._acknowledged[event["id"]] = self.succeed()
            await asyncio.sleep(PAUSE_SECONDS)


class Questioner(Client):
    """Asks for all notes of one author: what was acknowledged before the question must be in the answer, once."""

    def __init__(self, url: str, pubkey: str, ledger: Ledger) -> None:
        self.wrong: list[str] = []
        self._pubkey = pubkey
        self._ledger = ledger
        super().__init__(url)

    async def _work(self, ws: ClientConnection) -> None:
        while not self._over.is_set():
            due = set(self._ledger.acknowledged[self._pubkey])
            name = f"ask {next(_questions)}"  # a live event of the one before may still be on its way
            await ws.send(json.dumps(["REQ", name, {"authors": [self._pubkey], "limit": 1000}]))
            found: list[str] = []
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    message = await _receive(ws)
                    if message[0] == "EVENT" and message[1] == name:
                        found.append(message[2]["id"])
                    elif message[0] in {"EOSE", "CLOSED"} and message[1] == name:
                        break
            if message[0] == "EOSE":
                self._check(due, found)
                self.succeed()
                await ws.send(json.dumps(["CLOSE", name]))
            await asyncio.sleep(PAUSE_SECONDS)

    def _check(self, due: set[str], found: list[str]) -> None:
        missing = due - set(found)
        foreign = set(found) - self._ledger.sent[self._pubkey]
        if missing or foreign or len(set(found)) < len(found):
            twice = len(found) - len(set(found))
            self.wrong.append(f"{len(missing)} missing, {twice} twice, {len(foreign)} foreign of {len(due)}")


class Subscriber(Client):
    """One subscription to all authors. received: every id that came, stored or live; twice: those that came twice in
    one subscription.
    """

    def __init__(self, url: str, pubkeys: list[str]) -> None:
        self.received: set[str] = set()
        self.twice = 0
        self.is_open = False
        self._pubkeys = pubkeys
        super().__init__(url)

    async def _work(self, ws: ClientConnection) -> None:
        in_this: set[str] = set()
        await ws.send(json.dumps(["REQ", "live", *({"authors": [key], "limit": 1000} for key in self._pubkeys)]))
        try:
            while not self._over.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        message = await _receive(ws)
                        if message[0] == "CLOSED":
                            return
                        self._take(message, in_this)
        finally:
            self.is_open = False

    def _take(self, message: list[Any], in_this: set[str]) -> None:
        if message[0] == "EOSE":
            self.is_open = True
        elif message[0] == "EVENT":
            event_id = message[2]["id"]
            self.twice += event_id in in_this
            in_this.add(event_id)
            self.received.add(event_id)
            self.succeed()
