"""The login of one connection (NIP-42): its challenge, and the rate of failed attempts.

The challenge is made once. A new one would make the old one invalid while a client signs it (42-6).
"""

import secrets
import time

from relay.metrics import counters
from relay.protocol.errors import RateLimited
from relay.protocol.messages import auth
from relay.subscriptions.outbox import Outbox

REPEAT_SECONDS = 1.0
"""The challenge is sent again with a refusal, but not sooner than this after the last time."""

FAILURES = 20
FAILURES_SECONDS = 60.0
"""The most failed logins in that time; further ones are not verified. A client that is at fault retries in a loop."""

MAX_KEYS = 100
"""Keys that one connection may prove: each is part of the statement of its private queries."""


class Login:
    """`challenge`: 32 hex digits. Nothing is sent before `send`."""

    __slots__ = ("_failures", "_failures_since", "_sent", "challenge")

    def __init__(self) -> None:
        self.challenge = secrets.token_hex(16)
        self._sent = 0.0
        self._failures = 0
        self._failures_since = 0.0

    def send(self, outbox: Outbox) -> None:
        """Send the challenge."""
        self._sent = time.monotonic()
        counters.challenges += 1
        outbox.put(auth(self.challenge))

    def ask(self, outbox: Outbox) -> None:
        """A message is refused with `auth-required:`: send the challenge before, unless it was just sent (42-5)."""
        counters.auth_required += 1
        if time.monotonic() - self._sent >= REPEAT_SECONDS:
            self.send(outbox)

    def check_rate(self) -> None:
        """Raises RateLimited after too many failed logins."""
        if time.monotonic() - self._failures_since >= FAILURES_SECONDS:
            self._failures = 0
        if self._failures >= FAILURES:
            raise RateLimited("too many failed logins, try again in a minute")

    def failed(self) -> None:
        """Count a login that proved nothing."""
        if not self._failures:
            self._failures_since = time.monotonic()
        self._failures += 1
