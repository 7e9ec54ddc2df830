"""One connection to the relay.

Rule: whatever the relay sends, no exception leaves a callback: what is not understood is counted.
"""

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from picows import WSError, WSListener, WSMsgType, WSTransport, ws_connect

from relay.loadtest.tally import Tally

if TYPE_CHECKING:
    from picows import WSFrame

HANDSHAKE_SECONDS = 10.0
NO_HANDSHAKE = "no handshake in time"
MAX_MESSAGE_BYTES = 16 * 2**20
_DATA = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION)

_SILENT = logging.getLogger("picows.loadtest")
_SILENT.setLevel(logging.CRITICAL + 1)  # what goes wrong is counted; picows would log it each time


class Link(WSListener):
    """An open connection. `waiting` and `queries` belong to who publishes and who queries on it.

    `waiting`: event id -> (number, time sent). `queries`: subscription id -> its query. `seen`: a byte for each
    event of the run, for a subscriber. `subscribed`: True at its EOSE, False when that cannot come any more.
    """

    def __init__(self, tally: Tally, on_text: "Callable[[Link, bytes], None]") -> None:
        self.waiting: dict[str, tuple[int, float]] = {}
        self.queries: dict[str, Any] = {}
        self.seen: bytearray | None = None
        self.subscribed: asyncio.Future[bool] | None = None
        self.open = False
        self.blocked = False
        self._tally = tally
        self._on_text = on_text
        self._parts: list[bytes] = []
        self._size = 0
        self._leaving = False

    def send(self, frame: bytes) -> None:
        """Send a text message; nothing happens when the connection is gone."""
        if self.open:
            self._transport.send(WSMsgType.TEXT, frame)

    def close(self) -> None:
        """Leave: what comes after is not counted as the relay's doing."""
        self._leaving = True
        if self.open:
            self._transport.send_close()
            self._transport.disconnect(graceful=False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self.open = True

    def on_ws_frame(self, transport: WSTransport, frame: "WSFrame") -> None:
        kind = frame.msg_type
        if kind in _DATA:
            self._on_data(transport, frame)
        elif kind == WSMsgType.PING:
            self._tally.pings += 1
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            transport.send_close()
            transport.disconnect()

    def _on_data(self, transport: WSTransport, frame: "WSFrame") -> None:
        data = frame.get_payload_as_bytes()
        if self._parts or not frame.fin:
            self._parts.append(data)
            self._size += len(data)
            if self._size > MAX_MESSAGE_BYTES:  # fragments without an end
                self._tally.garbage += 1
                self._parts.clear()
                transport.disconnect(graceful=False)
            if not frame.fin:
                return
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
        self._on_text(self, data)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.open = False
        if not self._leaving:
            handshake = transport.close_handshake
            recv = handshake.recv if handshake is not None else None
            self._tally.closes.add("without a close frame" if recv is None else f"close code {recv.code:d}")
        for query in self.queries.values():
            query.give_up()
        if self.subscribed is not None and not self.subscribed.done():
            self.subscribed.set_result(False)

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False


async def open_link(
    url: str, tally: Tally, on_text: Callable[[Link, bytes], None], *, read_buffer: int = 16_384
) -> Link | None:
    """A connection, timed and counted; None when it failed, with its reason counted. Follows no redirect."""
    tally.tried += 1
    began = perf_counter()
    try:
        _, link = await ws_connect(
            lambda: Link(tally, on_text),
            url,
            websocket_handshake_timeout=HANDSHAKE_SECONDS,
            enable_auto_pong=False,
            max_frame_size=MAX_MESSAGE_BYTES,
            max_redirects=0,  # a redirect could lead to another machine
            read_buffer_init_size=read_buffer,
            logger_name=_SILENT,
        )
    except (WSError, OSError, asyncio.CancelledError, ValueError, EOFError) as fault:
        if isinstance(fault, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
            raise
        tally.failures.add(_reason(fault))
        return None
    tally.opened += 1
    tally.connecting.add(perf_counter() - began)
    assert isinstance(link, Link)
    return link


def _reason(fault: BaseException) -> str:
    response = getattr(fault, "response", None)
    if response is not None:
        return f"HTTP status {int(response.status)}"
    if isinstance(fault, TimeoutError):
        return NO_HANDSHAKE
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return str(fault).splitlines()[0] if str(fault) else type(fault).__name__
