"""The HTTP client of a peer region: signed requests over one connection that is kept open.

Synchronous, for jobs and commands; one thread at a time. During a rotation the peer may know the previous secret alone:
a request that is refused is signed with that one then.
"""

import http.client
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from msgspec import Struct

from replication import wire
from replication.compression import ENCODING, Damaged, TooLarge, compressed, decompressed
from replication.models import Region
from replication.sealing import Unreadable

TIMEOUT_SECONDS = 15.0
CONNECT_SECONDS = 5.0
"""For a connection, and for the peer's kernel to acknowledge what was sent: a network that was cut without a word is
noticed after so long, and so is a firewall that has forgotten a kept connection. Without it TCP would go on repeating
the lost packet, at intervals that double, until the whole request is given up.
"""
MAX_ERROR_BYTES = 65_536
"""Of an answer that refuses."""
COMPRESSED_FROM_BYTES = 512
UNAUTHORIZED = 401
HINTS = {UNAUTHORIZED: " (the names, the secret and the time must be the same on both sides)"}
"""What an operator can do about a status; a peer gives no reason to a sender that it cannot authenticate."""


class PeerError(Exception):
    """A request that has no answer. `is_refusal`: the peer has answered, and refuses; `status` is its HTTP status then.
    `retry_seconds`: how long it asks to wait, 0 for nothing said.
    """

    def __init__(self, text: str, *, status: int = 0, retry_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        self.retry_seconds = retry_seconds

    @property
    def is_refusal(self) -> bool:
        """Whether the peer was reached."""
        return self.status > 0


class Answer(Struct, frozen=True):
    """`body` is decompressed; `seconds` from the first byte of the request to the last of the answer. `sent_bytes`: of
    the request's body, as it went over the network.
    """

    status: int
    body: bytes
    seconds: float
    sent_bytes: int


class PeerClient:
    """Requests to one peer; the end of a `with` closes its connection. `timeout_seconds` is for a whole answer, however
    slowly it comes.
    """

    def __init__(
        self,
        peer: Region,
        local_name: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.peer = peer
        self._local_name = local_name
        self._timeout = timeout_seconds
        self._clock = clock
        self._connection: http.client.HTTPConnection | None = None
        self._secret = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def post(self, path: str, content: bytes) -> Answer:
        """POST a content, compressed if that is worth it. Raises PeerError for everything but an answer 200."""
        body = compressed(content) if len(content) >= COMPRESSED_FROM_BYTES else content
        return self._with_secrets("POST", path, body, is_compressed=body is not content)

    def get(self, path: str) -> Answer:
        """GET. Raises PeerError for everything but an answer 200."""
        return self._with_secrets("GET", path, b"", is_compressed=False)

    def _with_secrets(self, method: str, path: str, body: bytes, *, is_compressed: bool) -> Answer:
        try:
            valid = self.peer.secrets()
        except Unreadable as error:
            raise PeerError(f"{error.__doc__}: enter it again") from None
        if not valid:
            raise PeerError("the peer has no secret")
        first = self._secret if self._secret in valid else valid[0]
        refused: PeerError | None = None
        for secret in (first, *(other for other in valid if other != first)):
            try:
                answer = self._request(secret, method, path, body, is_compressed)
            except PeerError as error:
                if error.status != UNAUTHORIZED:
                    raise
                refused = error
            else:
                self._secret = secret
                return answer
        assert refused is not None
        raise refused

    def _request(self, secret: str, method: str, path: str, body: bytes, is_compressed: bool) -> Answer:
        def headers() -> dict[str, str]:
            """Signed anew for each try: the peer takes each nonce once, and may have read the first one."""
            signed = wire.signed(
                secret,
                method=method,
                path=path,
                sender=self._local_name,
                receiver=self.peer.name,
                now=int(self._clock()),
                body=body,
            )
            encoding = {"content-encoding": ENCODING} if is_compressed else {}
            content_type = {"content-type": "application/json"} if method == "POST" else {}
            return signed | encoding | content_type | {"accept-encoding": ENCODING}

        began = time.monotonic()
        response, content = self._exchange(method, path, body if method == "POST" else None, headers)
        seconds = time.monotonic() - began
        if response.status != http.client.OK:
            said = content[:200].decode("utf-8", "replace").strip()
            raise PeerError(
                f"answered {response.status}: {printable(said)}{HINTS.get(response.status, '')}",
                status=response.status,
                retry_seconds=_seconds(response.getheader("retry-after")),
            )
        if response.getheader("content-encoding") == ENCODING:
            try:
                content = decompressed(content, wire.ANSWER_BYTES[path])
            except (Damaged, TooLarge) as error:
                raise PeerError(f"answered with a body that cannot be read: {error.__doc__}") from None
        return Answer(response.status, content, seconds, len(body))

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Callable[[], dict[str, str]]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request; a kept connection that the peer has closed meanwhile is opened again once."""
        for is_kept in (True, False) if self._connection is not None else (False,):
            connection = self._connected()
            try:
                with self._deadline(connection) as is_over:
                    if connection.sock is None:
                        self._open(connection)
                        if is_over.is_set():  # there was no socket yet that could be shut
                            raise TimeoutError
                    connection.request(method, path, body, headers())
                    response = connection.getresponse()
                    most = wire.ANSWER_BYTES[path] if response.status == http.client.OK else MAX_ERROR_BYTES
                    content = response.read(most + 1)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if is_kept and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                    continue
                raise PeerError(f"does not answer: {printable(str(error)) or type(error).__name__}") from None
            if len(content) > most:
                self.close()
                raise PeerError(f"answered with more than {most} bytes")
            if response.will_close:
                self.close()
            return response, content
        raise AssertionError("unreachable")

    @contextmanager
    def _deadline(self, connection: http.client.HTTPConnection) -> Iterator[threading.Event]:
        """End the request when its time is over, and set the event. The timeout of a socket is for each byte: a peer
        that sends one now and then would hold this thread for ever. Raises TimeoutError.
        """
        is_over = threading.Event()

        def end() -> None:
            is_over.set()
            if connection.sock is not None:
                with suppress(OSError):  # not SSLSocket's: it would have the reader go on without decrypting
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

        timer = threading.Timer(self._timeout, end)
        timer.daemon = True
        timer.start()
        try:
            yield is_over
        except (OSError, http.client.HTTPException):
            if is_over.is_set():
                raise TimeoutError("timed out") from None
            raise
        finally:
            timer.cancel()
        if is_over.is_set():
            raise TimeoutError("timed out")

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            parts = urlsplit(self.peer.endpoint)
            if not parts.hostname:
                raise PeerError("the peer has no endpoint")
            seconds = min(CONNECT_SECONDS, self._timeout)
            if parts.scheme == "https":
                self._connection = http.client.HTTPSConnection(
                    parts.hostname, parts.port, timeout=seconds, context=ssl.create_default_context()
                )
            else:
                self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
        return self._connection

    def _open(self, connection: http.client.HTTPConnection) -> None:
        """Connect. Raises OSError."""
        connection.connect()
        connection.sock.settimeout(self._timeout)
        if sys.platform == "linux":
            milliseconds = round(1_000 * min(CONNECT_SECONDS, self._timeout))
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def client_of(peer: Region, timeout_seconds: float = TIMEOUT_SECONDS) -> PeerClient:
    """A client of the peer, signing as this region. Raises PeerError if there is no local region."""
    local = Region.local()
    if local is None:
        raise PeerError("this relay is no region: set RELAY_REGION, or add it with `manage.py region add --local`")
    return PeerClient(peer, local.name, timeout_seconds=timeout_seconds)


def printable(text: str) -> str:
    """What a peer says, as a line for logs and the database, which take neither new lines nor NUL."""
    return "".join([letter if letter.isprintable() else " " for letter in text]).strip()


def _seconds(header: str | None) -> float:
    text = header or ""
    return min(float(text), timedelta(minutes=5).total_seconds()) if text.isascii() and text.isdigit() else 0.0
