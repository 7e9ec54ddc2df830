"""The client connections of a process: which are admitted, the session of each, and those that operators end."""

import asyncio
import heapq
import os
import secrets
import time
from collections.abc import Callable, Collection
from itertools import count

from msgspec import Struct

from relay.background import Turn
from relay.conf import Config
from relay.metrics import counters
from relay.policies.lists import Lists
from relay.protocol.errors import Blocked, Failed
from relay.services.pace import Pace
from relay.services.session.session import Services, Session
from relay.subscriptions.outbox import Wire
from relay.transport.admission import UNIX, Admission, is_in, network_of

POLICY_VIOLATION = 1008
STEP_SECONDS = 0.05
RESUMED_AT_ONCE = 100
"""Sessions resumed in one turn of the loop: each of their clients may have answered CLOSED with a query."""
SPREAD_SHARE = 0.8
"""The rest of the time is for connections whose events are not answered yet."""
BLOCKED_ADDRESS = "connections from this address are not accepted"


class ConnectionFigures(Struct, frozen=True):
    """What operators see of a connection. `name` is unique among all processes; `since` in Unix seconds."""

    name: str
    address: str
    keys: list[str]
    since: float
    messages: int
    bytes_in: int
    subscriptions: int


class Connections:
    """The sessions of a process; their number is `len`. Loop thread only."""

    def __init__(
        self, conf: Config, services: Services, unready: Callable[[], str | None], lists: Lists | None = None
    ) -> None:
        """`unready` says why no client may connect now, None if clients may."""
        self._lists = Lists() if lists is None else lists
        self._prefix = f"{conf.instance}-{os.getpid()}-{secrets.token_hex(3)}"
        self._number = 0
        self._services = services
        self._unready = unready
        self._sessions: set[Session] = set()
        self._admission = Admission(conf.max_connections, conf.max_connections_per_ip, conf.ip_limit_exempt)
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._sessions)

    def admit(self, host: str | None) -> str:
        """Count a client from `host` (None: a Unix socket) before its handshake, so that simultaneous ones are seen.

        Returns its network; `leave` must be called with it. Raises Failed if no client may connect, Blocked if the
        operators refuse its address.
        """
        if host is not None and self._lists.is_blocked(host, int(time.time())):
            raise Blocked(BLOCKED_ADDRESS)
        if (why := self._unready()) is not None:
            raise Failed(why)
        if self._admission.open >= self._admission.connections:
            raise Failed("the relay has too many connections")
        network = self._admission.enter(host)
        if network is None:
            raise Failed("too many connections from this address")
        return network

    def leave(self, network: str) -> None:
        """An admitted client has gone, or its handshake has failed."""
        self._admission.leave(network)

    def owner(self, ip: str) -> str:
        """Who is charged for the queries of a connection, or of an HTTP request: its network
        (relay.transport.admission.network_of). Behind an exempt address stand many clients: each is an owner.
        """
        network = network_of(ip)
        if ip not in ("", UNIX) and not is_in(ip, self._admission.exempt):
            return network
        return f"{network} {next(self._numbers)}"

    def begin(self, wire: Wire, ip: str) -> Session:
        """Begin the session of an admitted client; it must be ended with `end`."""
        counters.connections_opened += 1
        session = Session(self._services, wire, ip, self.owner(ip))
        self._number += 1
        session.number = self._number
        self._sessions.add(session)
        session.greet()
        return session

    def end(self, session: Session) -> None:
        """End a session, after its connection has ended."""
        session.end()
        self._sessions.discard(session)

    def suspend(self, text: str) -> list[Session]:
        """End every subscription with CLOSED `text` (01-S09), and read nothing of these clients until `resume`."""
        suspended = [session for session in self._sessions if not session.is_closed]
        for session in suspended:
            session.suspend(text)
        return suspended

    async def resume(self, suspended: Collection[Session]) -> None:
        """Read from suspended sessions again, in turns; those that have ended meanwhile are passed over."""
        for number, session in enumerate(suspended, 1):
            session.resume()
            if number % RESUMED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def drain(self, text: str, code: int, seconds: float, sessions: Collection[Session] | None = None) -> None:
        """Close these connections within `seconds`, each subscription with CLOSED `text` (01-S09); without `sessions`
        every one, also those that come meanwhile. At an even rate, since clients that are closed at once come back at
        once, and each after the answers to its events. Returns when all are closed.
        """
        chosen = self._sessions if sessions is None else sessions
        begin = time.monotonic()
        pace = Pace(begin, seconds * SPREAD_SHARE)
        while not all(session.is_closed for session in chosen) and time.monotonic() < begin + seconds:
            is_open = [session for session in chosen if not session.is_closing]
            for session in is_open[: pace.due(time.monotonic(), len(is_open))]:
                session.close_when_answered(text, code)
            await asyncio.sleep(STEP_SECONDS)
        for session in list(chosen):
            session.close(text, code)

    async def enforce(self) -> None:
        """Put changed lists in force: end the connections that operators ended and those of blocked addresses, and take
        the rights of banned keys. In steps, since there may be thousands.
        """
        now = int(time.time())
        self._lists.forget_ended(now)
        turn = Turn()
        for session in list(self._sessions):
            if f"{self._prefix}-{session.number}" in self._lists.ended_connections:
                session.close(Blocked("ended by the operators of this relay").text, POLICY_VIOLATION)
            elif self._lists.is_blocked(session.source.address, now):
                session.close(Blocked(BLOCKED_ADDRESS).text, POLICY_VIOLATION)
            elif session.source.proved:
                session.disown(lambda key: self._lists.is_banned(key, now))
            await turn.end()

    def largest(self, most: int, text: str = "") -> list[ConnectionFigures]:
        """The `most` connections that have sent the most bytes, in that order; with `text` only those whose address
        begins with it or that have proved this key. 5 ms for 20,000 connections.
        """
        chosen = (
            session
            for session in self._sessions
            if not text or session.source.address.startswith(text) or text in session.source.proved
        )
        found = heapq.nlargest(most, chosen, key=lambda session: session.bytes_in)
        return [
            ConnectionFigures(
                f"{self._prefix}-{session.number}",
                session.source.address,
                sorted(session.source.proved),
                session.since,
                session.messages,
                session.bytes_in,
                len(session.subscriptions),
            )
            for session in found
        ]
