"""ASGI: the addresses for peers, served in the event loop of a worker, before all others.

Rule: the sender is known from the head. The body of a request that no peer has signed is read and dropped, and the
answer is the same whatever was wrong.
"""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from relay.services import process
from relay.services.runtime import Relay
from relay.views.sending import send_response
from replication import metrics, wire
from replication.answers import Unreadable
from replication.compression import ENCODING, Damaged, TooLarge, compressed, content_size, decompressed
from replication.receive.budget import Full
from replication.receive.receiver import Receiver, receiver_of
from replication.receive.table import Peer

log = logging.getLogger("relay.replication")

RETRY_SECONDS = 1
COMPRESSED_FROM_BYTES = 512
REFUSED = b"refused\n"
"""To every request that is not from a peer, or not for this region, or not of this minute."""

Handler = Callable[[Receiver, Peer, bytes], Awaitable[bytes]]
"""Gets the decompressed body, gives that of the answer. Raises Unreadable, or Full."""


class Route(Struct, frozen=True):
    """An address for peers, with the bound of its content."""

    method: str
    handler: Handler
    most_bytes: int = wire.MAX_CONTENT_BYTES


class PeerRequests:
    """ASGI application for `http`: the addresses of `routes` are served here, all others by `inner`."""

    def __init__(self, inner: Callable[[Any, Any, Any], Awaitable[None]], routes: Mapping[str, Route]) -> None:
        self._inner = inner
        self._routes = routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI: one request."""
        route = self._routes.get(scope["path"])
        if route is None:
            await self._inner(scope, receive, send)
            return
        relay = process.current()
        if relay is None or relay.unready():
            await Body(receive).drain()
            await _send(send, 503, b"the relay is not ready\n")
            return
        await _serve(relay, route, scope, Body(receive), send)


class Body:
    """The body of a request, which is read once, or read away so that its client gets to read the answer."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._ended = False

    async def drain(self) -> None:
        """Read what is left of it and keep nothing; its deadline is that of every request."""
        while not self._ended:
            await self._part()

    async def read(self, head: wire.Head) -> bytes | None:
        """All of it; None if it is not the one that was signed, or the client has left."""
        parts, size, digest = [], 0, hashlib.sha256()
        while not self._ended and size <= head.length:
            part = await self._part()
            size += len(part)
            digest.update(part)
            parts.append(part)
        is_signed = hmac.compare_digest(digest.hexdigest().encode(), head.digest.encode())
        return b"".join(parts) if is_signed and size == head.length else None

    async def _part(self) -> bytes:
        message = await self._receive()
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return bytes(message.get("body", b""))


async def _serve(relay: Relay, route: Route, scope: Any, incoming: Body, send: Any) -> None:
    receiver = receiver_of(relay)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    head, signature = wire.head_of(scope["method"], scope["path"], headers)
    peer, refusal = await _checked(receiver, route, head, signature)
    if peer is None:
        await _refuse(incoming, send, refusal)
        return
    try:
        with receiver.budget.held(peer.name, head.length):
            body = await incoming.read(head)
            if body is None:
                await _refuse(incoming, send, wire.Refusal.BODY)
                return
            metrics.received_bytes.labels(peer.name).inc(len(body))
            answer = await _answer(receiver, route, peer, body, headers)
    except Full:
        metrics.busy.labels(peer.name).inc()
        await incoming.drain()
        await _send(send, 429, b"too much is under way\n")
    except (Unreadable, Damaged, TooLarge) as error:
        await _send(send, 400, f"{error.__doc__}\n".encode())
    else:
        await _send(send, 200, answer, is_zstd=ENCODING in headers.get("accept-encoding", ""))


async def _checked(
    receiver: Receiver, route: Route, head: wire.Head, signature: str
) -> tuple[Peer | None, wire.Refusal | None]:
    peer, refusal = _signer(receiver, head, signature)
    # Also for a region that is known: the time that the answer takes must not tell which there are.
    if refusal in {wire.Refusal.SIGNATURE, wire.Refusal.REGION} and await receiver.table.hurry():
        peer, refusal = _signer(receiver, head, signature)
    if refusal is None and head.method != route.method:
        refusal = wire.Refusal.SIGNATURE
    if refusal is None and not await receiver.nonces.is_new(receiver.store.identity, head.sender, head.nonce):
        refusal = wire.Refusal.NONCE
    return (None, refusal) if refusal is not None else (peer, None)


def _signer(receiver: Receiver, head: wire.Head, signature: str) -> tuple[Peer | None, wire.Refusal | None]:
    """The peer that the request names, and why it is not taken as that peer's."""
    now = int(time.time())
    peer = receiver.table.find(head.sender)
    valid = peer.secrets(now) if peer is not None else ()
    return peer, wire.refusal_of(head, signature, local=receiver.table.local, valid=valid, now=now)


async def _answer(receiver: Receiver, route: Route, peer: Peer, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The answer of the handler. Raises Full, Unreadable, Damaged or TooLarge."""
    if headers.get("content-encoding", "") != ENCODING:
        if len(body) > route.most_bytes:
            raise TooLarge
        return await route.handler(receiver, peer, body)
    size = content_size(body, route.most_bytes)
    with receiver.budget.held(peer.name, size):
        content = await asyncio.to_thread(decompressed, body, size)
        return await route.handler(receiver, peer, content)


async def _refuse(incoming: Body, send: Any, refusal: wire.Refusal | None) -> None:
    metrics.refused.labels((refusal or wire.Refusal.SIGNATURE).value).inc()
    await incoming.drain()
    await _send(send, 401, REFUSED)


async def _send(send: Any, status: int, body: bytes, *, is_zstd: bool = False) -> None:
    headers = [(b"cache-control", b"no-store")]
    if status == 200:
        headers.append((b"content-type", b"application/json"))
        if is_zstd and len(body) >= COMPRESSED_FROM_BYTES:
            body = compressed(body)
            headers.append((b"content-encoding", ENCODING.encode()))
    else:
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
        if status in {429, 503}:
            headers.append((b"retry-after", b"%d" % RETRY_SECONDS))
    headers.append((b"content-length", b"%d" % len(body)))
    await send_response(status, headers, body, send)
