"""The ASGI extension `relay.direct`: messages without an event, a queue or a task switch each.

`scope["extensions"]["relay.direct"]["socket"]` is a `DirectSocket`. Other servers do not have it: an
application must also work with `receive()` and `send()`.
"""

from collections.abc import Callable, Sequence

from relay.transport.connection import Connection
from relay.transport.inbox import OnClose, OnMessage
from relay.transport.pause import Pause


class DirectSocket:
    """The connection as an application may use it. Every method is synchronous, for the loop's thread only."""

    __slots__ = ("_connection", "_write_buffer")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._write_buffer = connection.write_buffer

    def attach(
        self,
        on_text: OnMessage,
        on_close: OnClose,
        on_binary: OnMessage | None = None,
        on_too_large: OnMessage | None = None,
    ) -> None:
        """Pass whole messages to the callbacks from now on, in order, queued ones first.

        `on_text` gets valid UTF-8. Without `on_binary` a binary message closes with 1003. `on_close(code)` is the last
        call, once: the peer's code (1005: none given), our own, or 1006 for a lost or aborted connection; 1012 at the
        server's shutdown, when `send_frames` still works inside it.

        `on_too_large` gets the beginning of a message above the limit, all of it if it is less than 64 KiB above,
        before the close with 1009; frames that it sends still go out. `receive()` then gives only
        `websocket.disconnect`. An exception in a callback closes with 1011. Raises RuntimeError when attached already.
        """
        self._connection.inbox.attach(on_text, on_close, on_binary, on_too_large)

    def send_frames(self, frames: Sequence[bytes]) -> None:
        """Send text messages (UTF-8), one for each item, in one write. A closing connection sends nothing.

        Never waits: watch `buffered_bytes` and `set_drained`. A buffer above 16 MiB aborts the connection, and so may
        one above 64 KiB while those of the worker have 512 MiB (`relay.transport.sending`).
        Raises RuntimeError before `websocket.accept`.
        """
        if not self._connection.opened:
            raise RuntimeError("send_frames before websocket.accept")
        self._write_buffer.send_frames(frames)

    def buffered_bytes(self) -> int:
        """Bytes in the write buffer, without the kernel's."""
        connection = self._connection
        return 0 if connection.is_lost else connection.transport.get_write_buffer_size()

    def set_drained(self, callback: Callable[[], None] | None) -> None:
        """Set the one callback for a write buffer that fell below 16 KiB after it was above 64 KiB; None removes it."""
        self._write_buffer.set_drained(callback)

    def pause_reading(self) -> None:
        """No `on_text` until `resume_reading`: messages already read are queued, then TCP back-pressure holds."""
        self._connection.inbox.pause_delivery()
        self._connection.pause(Pause.APPLICATION)

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        self._connection.inbox.resume_delivery()
        self._connection.resume(Pause.APPLICATION)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close after data sent before; `on_close(code)` follows in a later turn of the loop.

        `reason` is cut to 123 bytes. A peer that does not answer within 5 s is dropped.
        Raises ValueError for a code that may not be sent, RuntimeError before `websocket.accept`.
        """
        if not self._connection.opened:
            raise RuntimeError("close before websocket.accept")
        self._connection.close(code, reason)

    def abort(self) -> None:
        """Drop the connection and its write buffer now; `on_close(1006)` follows."""
        self._connection.abort()
