"""Parses environment variables that describe regions: names, places and peers (env.py)."""

from relayproject import env
from replication.described import NAME, Described, location_of, peer_of


def region(name: str) -> str:
    """The name of a region: letters, digits, - and _; "" when it is unset."""
    return env.matching(name, NAME, "at most 40 letters, digits, - and _")


def location(name: str) -> tuple[float, float] | None:
    """Latitude and longitude in degrees, such as 52.52,13.40; None when it is unset."""
    raw = env.text(name)
    try:
        return location_of(raw) if raw else None
    except ValueError as error:
        env.fault(name, str(error))
        return None


def peers(name: str, own: str) -> tuple[Described, ...]:
    """Peer regions, separated by commas (replication.described), none of them `own`, the name of this region."""
    found = []
    for number, word in enumerate(env.words(name), 1):
        try:
            found.append(peer_of(word))
        except ValueError as error:  # not the text itself, which has a secret
            env.fault(name, f"must list peers such as eu=https://eu.example.com; number {number} {error}")
            return ()
    named = [own, *(peer.name for peer in found)]
    twice = next((word for word in named if named.count(word) > 1), "")
    if twice:
        env.fault(name, f"must list each of the other regions once, not {twice!r} again")
        return ()
    return tuple(found)
