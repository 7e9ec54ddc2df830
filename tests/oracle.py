"""What the answers must be: plain and slow, on JSON values, sharing no code with the relay.

The SQL engine, the live index, the caches and `Filter.matches` are all compared with it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

PRIVATE = (4, 1059, 21059)
DRAFTS = (31234, 1234, 10013)
LOGINS = (22242, 27235)
NEVER_SERVED = (*PRIVATE, *LOGINS)
"""To those who have proved no key."""


def naive_match(filter_json: Json, event_json: Json) -> bool:
    """True if the event fulfils every condition of the filter; `limit` is no condition (01-F01..F05, F15)."""
    return all(_fulfils(name, wanted, event_json) for name, wanted in filter_json.items())


def _fulfils(name: str, wanted: Any, event: Json) -> bool:
    if name == "ids":
        return event["id"] in wanted
    if name == "authors":
        return event["pubkey"] in wanted
    if name == "kinds":
        return event["kind"] in wanted
    if name == "since":
        return bool(event["created_at"] >= wanted)
    if name == "until":
        return bool(event["created_at"] <= wanted)
    if name == "limit":
        return True
    assert len(name) == 2, f"not a filter key: {name}"
    assert name[0] == "#", f"not a filter key: {name}"
    return any(len(tag) > 1 and tag[0] == name[1] and tag[1] in wanted for tag in event["tags"])


def naive_visible(
    event_json: Json,
    now: int,
    keys: Collection[str] = (),
    private_drafts: bool = False,
    for_logins: Collection[int] = (),
) -> bool:
    """True if the event may be sent at `now` to a client that has proved `keys`: not expired (40-2), its if private."""
    for tag in event_json["tags"]:
        if tag[:1] == ["expiration"]:
            return naive_readable(event_json, keys, private_drafts, for_logins) and int(tag[1]) > now
    return naive_readable(event_json, keys, private_drafts, for_logins)


def naive_readable(
    event_json: Json, keys: Collection[str], private_drafts: bool = False, for_logins: Collection[int] = ()
) -> bool:
    """True for a public kind; kind 4 is for author and recipients, gift wraps for recipients, logins for no key.

    Drafts are public, or, with `private_drafts`, for their author. Public kinds of `for_logins` are for any key.
    """
    kind = event_json["kind"]
    if kind in LOGINS:
        return False
    if kind in DRAFTS and private_drafts:
        return event_json["pubkey"] in keys
    if kind not in PRIVATE:
        return kind not in for_logins or bool(keys)
    recipients = {tag[1] for tag in event_json["tags"] if tag[:1] == ["p"] and len(tag) > 1}
    readers = recipients | ({event_json["pubkey"]} if kind == 4 else set())
    return any(key in readers for key in keys)


def naive_query(
    events: Iterable[Json],
    filters: Iterable[Json],
    now: int,
    max_limit: int,
    default_limit: int,
    keys: Collection[str] = (),
    private_drafts: bool = False,
    for_logins: Collection[int] = (),
) -> list[Json]:
    """The stored events that answer a REQ, in order: newest first, ties by lowest id (01-F13, F14).

    `events` are those that are stored: what was replaced or deleted must be gone from them already.
    """
    visible = {event["id"]: event for event in events if naive_visible(event, now, keys, private_drafts, for_logins)}
    stored = sorted(visible.values(), key=_newest_first)
    found = {}
    for wanted in filters:
        matching = [event for event in stored if naive_match(wanted, event)]
        for event in _cut(matching, wanted.get("limit"), max_limit, default_limit):
            found[event["id"]] = event
    return sorted(found.values(), key=_newest_first)


def naive_end(
    events: Iterable[Json],
    filters: Sequence[Json],
    now: int,
    max_limit: int,
    default_limit: int,
    keys: Collection[str] = (),
    private_drafts: bool = False,
    for_logins: Collection[int] = (),
) -> str:
    """`finish` if the answer of `naive_query` has every match that may be read, else `more` (NIP-67)."""
    stored = list(events)
    sent = {
        event["id"]
        for event in naive_query(stored, filters, now, max_limit, default_limit, keys, private_drafts, for_logins)
    }
    left = [
        event
        for event in stored
        if event["id"] not in sent and naive_visible(event, now, keys, private_drafts, for_logins)
    ]
    return "more" if any(naive_match(wanted, event) for wanted in filters for event in left) else "finish"


def _newest_first(event: Json) -> tuple[int, str]:
    return -event["created_at"], event["id"]


def _cut(matching: list[Json], limit: int | None, max_limit: int, default_limit: int) -> list[Json]:
    if limit is not None:
        return matching[: min(limit, max_limit)]  # the client's own limit is exact
    cap = min(default_limit, max_limit)
    chosen = matching[:cap]
    if 2 * cap > max_limit:
        return chosen
    # 01-F18: where the relay's default cuts, the rest of that second comes too, up to twice the default.
    for event in matching[cap : 2 * cap]:
        if event["created_at"] == chosen[-1]["created_at"]:
            chosen.append(event)
    return chosen
