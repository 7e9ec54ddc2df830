"""A Lua script that the server knows by its digest."""

import hashlib


class Script:
    """The text of a script and its SHA-1, by which a server that has seen it once calls it."""

    __slots__ = ("digest", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
