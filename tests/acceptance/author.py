"""Who writes the events of one test."""

import secrets
import time
from typing import Any

from tests.events import pubkey_of, sign_event


class Author:
    """A key of the test's own."""

    def __init__(self) -> None:
        self.secret = secrets.token_bytes(32)
        self.pubkey = pubkey_of(self.secret)

    def event(self, content: str = "", *, kind: int = 1, at: int | None = None, tags: Any = ()) -> dict[str, Any]:
        """A signed event, made now or at `at` (seconds since 1970)."""
        created_at = int(time.time()) if at is None else at
        return sign_event(self.secret, kind=kind, content=content, tags=tags, created_at=created_at)

    @property
    def events(self) -> dict[str, Any]:
        """The filter of all that this author wrote."""
        return {"authors": [self.pubkey]}
