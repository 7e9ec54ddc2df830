"""The rate limits of one connection: the tokens that its client's network has left, and what happens without any.

Above a limit a message is refused with the answer that its client waits for. Above the limit of bytes nothing is
refused: reading pauses. A client that goes on far above a limit is disconnected.
"""

import asyncio
import re
from collections.abc import Callable
from time import monotonic

from relay.caching.shared_buckets import RETRY_SECONDS
from relay.metrics import counters
from relay.policies.rate_limits import Bucket, Excess
from relay.protocol.errors import RateLimited
from relay.protocol.messages import END_BYTES, Refused, refusal_of
from relay.services.rates import Rates
from relay.services.session.reading import Readable

POLICY_VIOLATION = 1008
TOO_MANY = RateLimited("too many messages, slow down").text
FAR_TOO_MANY = RateLimited("far too many messages for a minute").text

_CLOSE = re.compile(rb'\s*\[\s*"CLOSE"')


class Unlimited:
    """A client without limits, and what a limited one has instead."""

    __slots__ = ()

    def message(self, length: int) -> bool:
        """Charge a message of `length` bytes that has come; False: it is to be refused."""
        return True

    def event(self, kind: int) -> bool:
        """Charge an event; False: it is to be refused."""
        return True

    def question(self, cost: int = 1) -> bool:
        """Charge a REQ or COUNT; False: it is to be refused."""
        return True

    def sign_in(self) -> bool:
        """Charge an AUTH; False: it is to be refused."""
        return True

    def leave(self) -> None:
        """The connection has ended."""


UNLIMITED = Unlimited()


class Limited(Unlimited):
    """A client whose network has limits. `disconnect` is called once, in a later turn, if it is far above one."""

    __slots__ = (
        "_bytes",
        "_disconnect",
        "_events",
        "_excess",
        "_kinds",
        "_messages",
        "_networks",
        "_rates",
        "_reading",
        "_timer",
    )

    def __init__(self, rates: Rates, host: str, reading: Readable, disconnect: Callable[[], None]) -> None:
        self._rates = rates
        self._networks = rates.enter(host)
        self._messages = self._networks.of("messages")
        self._bytes = self._networks.of("bytes")
        self._events = self._networks.of("events")
        self._kinds = rates.settings.kinds
        self._excess: Excess | None = None
        self._reading = reading
        self._timer: asyncio.TimerHandle | None = None
        self._disconnect: Callable[[], None] | None = disconnect

    def message(self, length: int) -> bool:
        """See Unlimited. Reading pauses once the bytes are spent."""
        # What buckets do while they hold enough is done here: two calls less for each message, 0.2 us.
        bucket = self._bytes
        if bucket is not None:
            left = bucket.left - length
            if left >= bucket.low:
                bucket.left = left
            elif not bucket.charge(length) and self._timer is None:
                self._pause(bucket)
        bucket = self._messages
        if bucket is None:
            return True
        if bucket.left > bucket.low:
            bucket.left -= 1
            return True
        return bucket.take() or self._refused(bucket)

    def event(self, kind: int) -> bool:
        """See Unlimited."""
        bucket = self._events
        if bucket is not None:
            if bucket.left > bucket.low:
                bucket.left -= 1
            elif not bucket.take():
                return self._refused(bucket)
        if kind not in self._kinds:
            return True
        of_kind = self._networks.of_kind(kind)
        return of_kind is None or of_kind.take() or self._refused(of_kind)

    def question(self, cost: int = 1) -> bool:
        """See Unlimited."""
        bucket = self._networks.of("questions")
        return bucket is None or bucket.take(cost) or self._refused(bucket)

    def sign_in(self) -> bool:
        """See Unlimited."""
        bucket = self._networks.of("sign_ins")
        return bucket is None or bucket.take() or self._refused(bucket)

    def leave(self) -> None:
        """See Unlimited."""
        if self._timer is not None:
            self._timer.cancel()
        self._disconnect = None
        self._rates.leave(self._networks)

    def _pause(self, bucket: Bucket) -> None:
        counters.rate_limited["bytes"] += 1
        self._reading.pause_reading()
        self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._look, bucket)

    def _look(self, bucket: Bucket) -> None:
        """Read again if there are bytes left."""
        if bucket.charge(0) and bucket.left > 0:
            self._timer = None
            self._reading.resume_reading()
        else:
            self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._look, bucket)

    def _refused(self, bucket: Bucket) -> bool:
        """Count a refusal; returns False."""
        counters.rate_limited[bucket.limit] += 1
        if self._excess is None:
            self._excess = Excess()
        if self._excess.refused(bucket.rate, monotonic()) and self._disconnect is not None:
            counters.rate_limited["far_above"] += 1
            asyncio.get_running_loop().call_soon(self._disconnect)
            self._disconnect = None
        return False


def limits_of(rates: Rates, host: str, reading: Readable, disconnect: Callable[[], None]) -> Unlimited:
    """The limits of a client at `host`."""
    return UNLIMITED if rates.is_exempt(host) else Limited(rates, host, reading, disconnect)


def refusal(frame: bytes | str) -> Refused | None:
    """The answer to a message that is refused unread.

    None: the message is a CLOSE, which is never refused, because it makes less work.
    """
    if isinstance(frame, str):
        frame = frame.encode(errors="replace")
    return None if _CLOSE.match(frame, 0, END_BYTES) else refusal_of(frame, TOO_MANY)
