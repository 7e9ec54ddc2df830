"""The levels of rate limits' buckets in the shared cache: workers take tokens there, a grant at a time.

A level is the number of tokens taken and not yet gained again, and when, by the clock of the cache's server: clocks of
workers are never compared. One script reads, charges and grants, so no two workers get the same token. Rule: no message
waits for an answer; while the cache does not answer, a worker goes on with its share of each rate.
"""

import time
from collections.abc import Callable
from functools import partial
from hashlib import sha1

from hiredis import ReplyError

from relay.caching.shared import Part, Reply, Shared
from relay.policies.rate_limits import Bucket

RETRY_SECONDS = 0.1
"""An empty bucket asks again after this."""
DOWN_SECONDS = 1.0
"""And after this if the cache did not answer."""

SCRIPT = b"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local charged, wanted = tonumber(ARGV[3]), tonumber(ARGV[4])
local taken = 0
local level = redis.call('GET', KEYS[1])
if level then
  local number, at = string.match(level, '^(%S+) (%S+)$')
  taken = math.max(0, tonumber(number) - math.max(0, now - tonumber(at)) * rate / 1000000)
end
taken = math.min(taken + charged, 2 * burst)
local granted = math.max(0, math.min(wanted, math.floor(burst - taken)))
taken = taken + granted
if taken == 0 then
  return {granted, 1}
end
redis.call('SET', KEYS[1], string.format('%.3f %.0f', taken, now), 'PX', math.ceil(taken / rate * 1000))
return {granted, 0}
"""
"""KEYS: the bucket. ARGV: tokens a second, burst, tokens charged, tokens wanted. Returns the tokens granted, and 1 if
the bucket is full.

The key expires when the bucket is full again, so a flood of addresses leaves as much in the cache as it takes. What is
charged beyond the burst, by many workers on credit, is a debt of one burst at most.
"""

SHA = sha1(SCRIPT).hexdigest().encode()  # noqa: S324  the name that EVALSHA knows a script by


class SharedBuckets:
    """One worker's side. Loop thread only.

    grants: grants above 0. failures: questions without an answer. share: of each rate, for a worker without cache.
    """

    def __init__(
        self, shared: Shared | None, prefix: Callable[[], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`prefix` of the keys names the store."""
        self.grants = 0
        self.failures = 0
        self.share = 1.0
        self._shared = shared
        self._prefix = prefix
        self._clock = clock

    def more(self, bucket: Bucket) -> None:
        """Ask for tokens up to a full grant, unless a question is on its way or an answer was no just now."""
        now = self._clock()
        if bucket.alone_since is not None or self._shared is None:
            bucket.refill_alone(now, self.share)
        if not bucket.asking and now >= bucket.ask_at:
            self._ask(bucket, bucket.unpaid, bucket.missing)

    def settle(self, bucket: Bucket) -> None:
        """Of an idle bucket: charge what was spent on credit; begin anew if the shared bucket is full."""
        if self._shared is None:
            bucket.refill_alone(self._clock(), self.share)
            if not bucket.missing:
                bucket.freshen()
        elif not bucket.asking:
            self._ask(bucket, bucket.spent_on_credit, 0)

    def charge(self, bucket: Bucket) -> None:
        """Of a bucket that is forgotten: charge what was spent on credit, whatever becomes of it."""
        if bucket.spent_on_credit and self._shared is not None:
            parts = self._arguments(bucket, bucket.spent_on_credit, 0)
            self._shared.send(self._key(bucket), (b"EVALSHA", SHA, *parts), lambda reply: None)

    def _key(self, bucket: Bucket) -> bytes:
        return f"{self._prefix()}{bucket.limit}:{bucket.name}".encode(errors="replace")

    def _arguments(self, bucket: Bucket, charged: int, wanted: int) -> tuple[Part, ...]:
        rate = bucket.rate
        return (1, self._key(bucket), repr(rate.per_second), rate.burst, charged, wanted)

    def _ask(self, bucket: Bucket, charged: int, wanted: int) -> None:
        if self._shared is None:
            return
        bucket.asking = True
        arguments = self._arguments(bucket, charged, wanted)
        then = partial(self._answered, bucket, charged, wanted, arguments)
        self._shared.send(self._key(bucket), (b"EVALSHA", SHA, *arguments), then)

    def _answered(
        self, bucket: Bucket, charged: int, wanted: int, arguments: tuple[Part, ...] | None, reply: Reply
    ) -> None:
        if arguments is not None and type(reply) is ReplyError and str(reply).startswith("NOSCRIPT"):
            assert self._shared is not None
            then = partial(self._answered, bucket, charged, wanted, None)
            self._shared.send(self._key(bucket), (b"EVAL", SCRIPT, *arguments), then)
            return
        now = self._clock()
        bucket.asking = False
        if type(reply) is not list:
            self.failures += 1
            bucket.ask_at = now + DOWN_SECONDS
            bucket.refill_alone(now, self.share)
            return
        granted, is_full = reply
        self.grants += granted > 0
        if granted < wanted:
            bucket.ask_at = now + RETRY_SECONDS
        spent_before = bucket.spent_on_credit
        bucket.answered(charged, granted)
        if is_full and not wanted and not charged and not spent_before:
            bucket.freshen()
