"""Events for tests, made with the standard library's JSON and coincurve, not with the code under test."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from coincurve import PrivateKey, PublicKeyXOnly

NOW = 1_700_000_000  # seconds since 1970; the "now" of tests that need one
UNSIGNED = "0" * 128


def secret(number: int) -> bytes:
    """The secret key with this number, from 1 on: the same author in every test."""
    return number.to_bytes(32, "big")


@cache
def pubkey_of(secret_key: bytes) -> str:
    return str(PublicKeyXOnly.from_secret(secret_key).format().hex())


def event_id(pubkey: str, created_at: int, kind: int, tags: Iterable[Sequence[str]], content: str) -> str:
    """The id by NIP-01, with control characters as JSON.stringify writes them."""
    fields = [0, pubkey, created_at, kind, [list(tag) for tag in tags], content]
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def unsigned_event(
    *,
    pubkey: str = "",
    kind: int = 1,
    content: str = "",
    tags: Iterable[Sequence[str]] = (),
    created_at: int = NOW,
) -> dict[str, Any]:
    """An event with a right id and a signature of zeros. Without a pubkey, its author is number 1."""
    pubkey = pubkey or pubkey_of(secret(1))
    lists = [list(tag) for tag in tags]
    return {
        "id": event_id(pubkey, created_at, kind, lists, content),
        "pubkey": pubkey,
        "created_at": created_at,
        "kind": kind,
        "tags": lists,
        "content": content,
        "sig": UNSIGNED,
    }


def sign_event(
    secret_key: bytes | None = None,
    *,
    kind: int = 1,
    content: str = "",
    tags: Iterable[Sequence[str]] = (),
    created_at: int = NOW,
) -> dict[str, Any]:
    """An event signed by `secret_key`, or by author number 1."""
    secret_key = secret_key or secret(1)
    event = unsigned_event(pubkey=pubkey_of(secret_key), kind=kind, content=content, tags=tags, created_at=created_at)
    return event | {"sig": PrivateKey(secret_key).sign_schnorr(bytes.fromhex(event["id"])).hex()}
