"""The keys of the shared cache by which workers show their connections to operators (`connection_list`)."""

import hashlib

MOST = 200
"""Connections that one worker shows."""

ANSWER_SECONDS = 5
LONGEST_SEARCH = 100


def wanted_key(store: str) -> str:
    """What an operator looks for now; missing while no operator looks."""
    return f"relay:{{{store}:status}}:connections"


def answer_key(store: str, name: str, search: str) -> str:
    """The connections of the worker `name` for a search."""
    return f"relay:{{{store}:status}}:connections:{hashlib.sha256(search.encode()).hexdigest()[:16]}:{name}"
