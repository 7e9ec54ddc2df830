"""What people do, as events: notes, reactions, reposts, answers, zaps and reports."""

import json
from typing import Any

from tests.events import pubkey_of, secret, sign_event, unsigned_event

Json = dict[str, Any]


def person(number: int) -> str:
    """The pubkey of person `number`, from 1 on."""
    return pubkey_of(secret(number))


def note(author: int, at: int, **fields: Any) -> Json:
    return unsigned_event(pubkey=person(author), created_at=at, **fields)


def reaction(author: int, to: Json, at: int, content: str = "+") -> Json:
    return unsigned_event(pubkey=person(author), kind=7, created_at=at, content=content, tags=[["e", to["id"]]])


def repost(author: int, to: Json, at: int, kind: int = 6) -> Json:
    return unsigned_event(pubkey=person(author), kind=kind, created_at=at, tags=[["e", to["id"], "wss://r.example"]])


def answer(author: int, to: Json, at: int, marker: str = "reply") -> Json:
    return unsigned_event(pubkey=person(author), created_at=at, tags=[["e", to["id"], "", marker]])


def zap(sender: int, to: Json, at: int, wallet: int = 900, *, forged: bool = False) -> Json:
    request = sign_event(secret(sender), kind=9734, created_at=at, tags=[["e", to["id"]], ["p", to["pubkey"]]])
    if forged:
        request |= {"sig": "0" * 128}
    tags = [["e", to["id"]], ["p", to["pubkey"]], ["bolt11", "lnbc1"], ["description", json.dumps(request)]]
    return unsigned_event(pubkey=person(wallet), kind=9735, created_at=at, tags=tags)


def report(author: int, at: int, *tags: list[str]) -> Json:
    return unsigned_event(pubkey=person(author), kind=1984, created_at=at, tags=tags)
