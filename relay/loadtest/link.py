"""One connection to a relay: the client of the load test, of tests and of benchmarks that need no raw frames.

Rule: whatever the relay sends, no exception leaves a callback: what is not understood is counted.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

import orjson
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


OnOk = Callable[[bool, object], None]
"""Called with the second and third part of an OK: whether the event was accepted, and the text."""
OnEnd = Callable[[object], None]
"""Called with None at EOSE, with the text of CLOSED, with GONE when the connection ends. It takes itself out."""
GONE = object()


class Link(WSListener):
    """An open connection and what is due on it: `waiting` by event id, `queries` by subscription id.

    `on_event` is called with every EVENT message, unparsed: a fan-out brings 100,000 a second. `seen`: a byte for each
    event of the run, for a subscriber.
    """

    def __init__(self, tally: Tally, on_event: "Callable[[Link, bytes], None]") -> None:
        self.waiting: dict[str, OnOk] = {}
        self.queries: dict[str, OnEnd] = {}
        self.seen: bytearray | None = None
        self.replaying = False
        """Events come again that an earlier connection may have had."""
        self.open = False
        self.blocked = False
        self._tally = tally
        self._on_event = on_event
        self._parts: list[bytes] = []
        self._size = 0
        self._leaving = False

    def send(self, frame: bytes) -> None:
        """Send a text message; nothing happens when the connection is gone."""
        if self.open:
            self._transport.send(WSMsgType.TEXT, frame)

    def publish(self, event_id: str, frame: bytes, on_ok: OnOk) -> None:
        """Send an EVENT message. `on_ok` is called once, or never when no OK comes."""
        self.waiting[event_id] = on_ok
        self.send(frame)

    def ask(self, name: str, filters: Sequence[object], on_end: OnEnd) -> None:
        """Send a REQ, to be told of its end: at most of each EOSE and CLOSED, and of the end of the connection."""
        self.queries[name] = on_end
        self.send(orjson.dumps(["REQ", name, *filters]))

    async def accepted(self, event_id: str, frame: bytes) -> bool:
        """Publish and wait for the OK; the caller gives the limit."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.publish(event_id, frame, lambda accepted, _text: resolve(done, accepted))
        return await done

    async def answered(self, name: str, *filters: object) -> bool:
        """Ask, wait for the end and close the subscription; True for EOSE. The caller gives the limit."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.ask(name, filters, lambda refusal: resolve(done, refusal is None))
        answered = await done
        self.queries.pop(name, None)
        self.send(orjson.dumps(["CLOSE", name]))
        return answered

    def end_replay(self) -> None:
        """From here on each event comes once."""
        self.replaying = False

    def close(self) -> None:
        """Leave: what comes after is not counted as the relay's doing."""
        self._leaving = True
        if self.open:
            self._transport.send_close()
            self._transport.disconnect(graceful=False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done (called by picows)."""
        self._transport = transport
        self.open = True

    def on_ws_frame(self, transport: WSTransport, frame: "WSFrame") -> None:
        """Take a frame (called by picows). The frames of one message are joined, up to its limit."""
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
        self._on_text(data)

    def _on_text(self, data: bytes) -> None:
        if data[:8] == b'["EVENT"':
            self._on_event(self, data)
            return
        try:
            message = orjson.loads(data)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, list) or not self._take(message, data):
            self._tally.garbage += 1

    def _take(self, message: list[object], data: bytes) -> bool:
        """False for what the protocol does not have."""
        match message:  # a pattern such as str() costs a microsecond
            case ["OK", event_id, accepted, *rest] if type(event_id) is str and type(accepted) is bool:
                if (on_ok := self.waiting.pop(event_id, None)) is not None:
                    on_ok(accepted, rest[0] if rest else "")
                else:
                    self._tally.unexpected += 1
            case ["EOSE" | "CLOSED" as verb, name, *rest] if type(name) is str:
                if (on_end := self.queries.get(name)) is not None:
                    on_end(None if verb == "EOSE" else rest[0] if rest else "")
                else:
                    self._tally.unexpected += verb == "EOSE"  # some relays answer our CLOSE with CLOSED
            case ["NOTICE", *rest]:
                self._tally.notices.add(rest[0] if rest and isinstance(rest[0], str) else "")
            case ["AUTH", str(), *_]:
                self._tally.challenges += 1
            case ["EVENT", str(), *_]:  # with white space before it
                self._on_event(self, data.strip())
            case _:
                return False
        return True

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection has ended (called by picows): count why, unless it was us, and end each query with GONE."""
        self.open = False
        if not self._leaving:
            handshake = transport.close_handshake
            recv = handshake.recv if handshake is not None else None
            self._tally.closes.add("without a close frame" if recv is None else f"close code {recv.code:d}")
        for on_end in list(self.queries.values()):
            on_end(GONE)

    def pause_writing(self) -> None:
        """The socket takes no more for now (called by picows); see `blocked`."""
        self.blocked = True

    def resume_writing(self) -> None:
        """The socket takes bytes again (called by picows)."""
        self.blocked = False


def resolve(done: "asyncio.Future[bool]", value: bool) -> None:
    """Put a result into a future that may be given up already."""
    if not done.done():
        done.set_result(value)


def _ignore(_link: Link, _data: bytes) -> None:
    """For who wants no events."""


async def open_link(
    url: str, tally: Tally, on_event: Callable[[Link, bytes], None] = _ignore, *, read_buffer: int = 16_384
) -> Link | None:
    """A connection, timed and counted; None when it failed, with its reason counted. Follows no redirect."""
    tally.tried += 1
    began = perf_counter()
    try:
        _, link = await ws_connect(
            lambda: Link(tally, on_event),
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
