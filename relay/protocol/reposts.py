"""The event that a repost carries in its content (NIP-18), as far as NIP-70 asks for it.

Rule: a text that the JSON parser of any client reads as a protected event is found, also where parsers differ.
"""

import json
from typing import Any, Final

import orjson

KINDS: Final = (6, 16)

MAX_DEPTH: Final = 3
"""Reposts of reposts that are looked through; clients make none. A deeper one counts as protected."""


def carries_protected(content: str, depth: int = MAX_DEPTH) -> bool:
    """True if the content of a repost is an event with a `-` tag, or a repost of one, or cannot be looked through."""
    try:
        carried = _parsed(content)
    except RecursionError:  # browsers parse it, without a limit of the depth
        return True
    if not isinstance(carried, dict):
        return False
    tags = carried.get("tags")
    if isinstance(tags, list) and any(isinstance(tag, list) and tag and tag[0] == "-" for tag in tags):
        return True
    inner = carried.get("content")
    if carried.get("kind") not in KINDS or not isinstance(inner, str):
        return False
    return not depth or carries_protected(inner, depth - 1)


def _parsed(text: str) -> Any:
    """The JSON value, None for other text. Raises RecursionError for one that is nested too deeply.

    JSON.parse of browsers takes what orjson refuses: escapes of lone surrogates, numbers of any length, any depth.
    """
    try:
        return orjson.loads(text)
    except (ValueError, UnicodeError):
        pass
    try:
        return json.loads(text, parse_int=float)
    except ValueError:
        return None
