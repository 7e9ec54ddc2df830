"""Signed requests between regions: pure functions, without a clock or I/O.

The signature covers method, path, both regions, time, nonce, and length and SHA-256 of the body. All of them are in the
head, so a receiver knows who sends before it reads a byte of the body; one that differs is found when it has been read.
Rule: every refusal looks the same to the sender, and takes the same time whichever header is wrong.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct

VERSION: Final = "1"
MAX_BODY_BYTES: Final = 8_388_608
"""Of a signed request, as it is sent."""
MAX_CONTENT_BYTES: Final = 33_554_432
"""Of its content, once it is decompressed."""
MAX_SKEW_SECONDS: Final = 60
"""How far the clocks of two regions may differ."""
NONCE_SECONDS: Final = 2 * MAX_SKEW_SECONDS + 1
"""How long a nonce is remembered; its request is too old then."""
NONCE_BYTES: Final = 16
MIN_SECRET_LENGTH: Final = 32

EVENTS_PATH: Final = "/replicate"
STATUS_PATH: Final = "/replicate/status"
RECONCILE_PATH: Final = "/replicate/reconcile"
FETCH_PATH: Final = "/replicate/fetch"
LARGE_BODIES: Final[Mapping[bytes, int]] = {path.encode(): MAX_BODY_BYTES for path in (EVENTS_PATH, RECONCILE_PATH)}
"""Addresses that take more than other HTTP addresses do."""
CONTENT_BYTES: Final[Mapping[str, int]] = {
    EVENTS_PATH: MAX_CONTENT_BYTES,
    STATUS_PATH: 65_536,
    RECONCILE_PATH: 8_388_608,
    FETCH_PATH: 65_536,
}
"""Of a request to each address, decompressed: JSON takes up to a hundred times as much memory once it is read."""
ANSWER_BYTES: Final[Mapping[str, int]] = {
    EVENTS_PATH: 2_097_152,
    STATUS_PATH: 65_536,
    RECONCILE_PATH: 8_388_608,
    FETCH_PATH: MAX_CONTENT_BYTES,
}
"""Of an answer, decompressed. Only FETCH_PATH has events in it, and a decoder for them that ends at their bound."""

SENDER: Final = "x-relay-region"
RECEIVER: Final = "x-relay-to"
TIME: Final = "x-relay-time"
NONCE: Final = "x-relay-nonce"
DIGEST: Final = "x-relay-digest"
SIGNATURE: Final = "x-relay-signature"

_NO_SECRET = secrets.token_urlsafe(32)
"""For requests of unknown regions, which are checked as long as those of known ones."""


class Refusal(Enum):
    """Why a request is refused, for the counters of the receiver alone."""

    SIGNATURE = "signature"
    REGION = "region"
    TIME = "time"
    NONCE = "nonce"
    BODY = "body"


class Head(Struct, frozen=True):
    """What a request says of itself. `time` in Unix seconds; `digest` is the SHA-256 of the body in hex."""

    method: str
    path: str
    sender: str
    receiver: str
    time: str
    nonce: str
    digest: str
    length: int

    def signature(self, secret: str) -> str:
        """HMAC-SHA256 in hex."""
        text = "\n".join(
            (
                "relay-replication",
                VERSION,
                self.method,
                self.path,
                self.sender,
                self.receiver,
                self.time,
                self.nonce,
                self.digest,
                str(self.length),
            )
        )
        return hmac.new(secret.encode(), text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def digest_of(body: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(body).hexdigest()


def signed(
    secret: str, *, method: str, path: str, sender: str, receiver: str, now: int, body: bytes = b""
) -> dict[str, str]:
    """The headers of a request. `path` begins with a slash; `now` in Unix seconds."""
    nonce = secrets.token_hex(NONCE_BYTES)
    head = Head(method, path, sender, receiver, str(now), nonce, digest_of(body), len(body))
    return {
        SENDER: sender,
        RECEIVER: receiver,
        TIME: head.time,
        NONCE: nonce,
        DIGEST: head.digest,
        SIGNATURE: head.signature(secret),
    }


def head_of(method: str, path: str, headers: Mapping[str, str]) -> tuple[Head, str]:
    """The head of a request and its signature; a header that is missing is "", a length that is none -1."""
    length = headers.get("content-length", "0" if method == "GET" else "")
    head = Head(
        method,
        path,
        headers.get(SENDER, ""),
        headers.get(RECEIVER, ""),
        headers.get(TIME, ""),
        headers.get(NONCE, ""),
        headers.get(DIGEST, ""),
        int(length) if length.isascii() and length.isdigit() and len(length) < 12 else -1,
    )
    return head, headers.get(SIGNATURE, "")


def refusal_of(head: Head, signature: str, *, local: str, valid: Sequence[str], now: int) -> Refusal | None:
    """Why a request is not taken; None if the sender knows one of the `valid` secrets (none for an unknown region).

    Whether its nonce was seen is the caller's to say. Every secret is compared, whatever else is wrong.
    """
    secrets_ = [secret for secret in valid if len(secret) >= MIN_SECRET_LENGTH] or [_NO_SECRET]
    given = signature.encode("utf-8", "replace")
    matches = [hmac.compare_digest(head.signature(secret).encode(), given) for secret in secrets_]
    is_signed = any(matches) and secrets_ != [_NO_SECRET]
    is_time = head.time.isascii() and head.time.isdigit() and len(head.time) < 12
    skew = abs(int(head.time) - now) if is_time else MAX_SKEW_SECONDS + 1
    is_for_us = hmac.compare_digest(head.receiver.encode("utf-8", "replace"), local.encode())
    if not is_signed:
        return Refusal.SIGNATURE
    if not is_for_us:
        return Refusal.REGION
    if skew > MAX_SKEW_SECONDS:
        return Refusal.TIME
    if len(head.nonce) != 2 * NONCE_BYTES:
        return Refusal.NONCE
    if not 0 <= head.length <= MAX_BODY_BYTES:
        return Refusal.BODY
    return None
