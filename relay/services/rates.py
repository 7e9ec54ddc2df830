"""The rate limits of one process: the buckets of client networks and of authors, and forgetting those that are idle.

Rule: the buckets in memory are bounded, whatever is sent. A network's buckets live as long as its connections; of
networks without any, and of authors, the least recently used go.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from hiredis import ReplyError

from relay.background import BackgroundTasks, Task, cancel
from relay.caching.shared import Shared, Unavailable
from relay.caching.shared_buckets import SharedBuckets
from relay.metrics import counters
from relay.policies.rate_limits import Bucket
from relay.policies.source import Source
from relay.protocol import kinds
from relay.protocol.errors import RateLimited, RelayError
from relay.protocol.event import Event
from relay.protocol.rates import OFF, Rate, RateSettings
from relay.services.figures import workers_key
from relay.storage.store import Store
from relay.transport.admission import UNIX, Network, is_in, network_of

BUCKET_BYTES = 360
BUCKETS_OF_NETWORK = 4
"""Messages, bytes, events, questions."""
MAX_IDLE_NETWORKS = 5_000
"""Networks without a connection whose buckets are kept: 7 MB."""
MAX_AUTHORS = 20_000
"""Buckets of authors: 7 MB."""
RATE_LIMITS = ("messages", "bytes", "events", "kinds", "questions", "sign_ins", "author", "far_above")
"""What is counted by limit: refusals, of `bytes` pauses of reading, of `far_above` connections closed."""
SWEEP_SECONDS = 15.0
SWEEP_STEP = 500
SWEEP_PAUSE_SECONDS = 0.02
"""How many buckets are looked at in one step of the loop, 5 ms, and the pause before the next ones: each may be a
command to the cache, which has a bound of 10,000 under way.
"""


class NetworkBuckets:
    """The buckets of one client network, made when they are first needed. `sessions` use them now."""

    __slots__ = ("_all", "_more", "_settings", "network", "sessions")

    def __init__(self, network: str, settings: RateSettings, more: Callable[[Bucket], None]) -> None:
        self.network = network
        self.sessions = 0
        self._settings = settings
        self._more = more
        self._all: dict[str | int, Bucket] = {}

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self._all.values())

    def of(self, limit: str) -> Bucket | None:
        """The bucket of a limit by address, by its name in RateSettings; None if the limit is off."""
        return self._bucket(limit, getattr(self._settings, limit), self.network)

    def of_kind(self, kind: int) -> Bucket | None:
        """The bucket of events of a kind; None without such a limit."""
        rate = self._settings.kinds.get(kind, OFF)
        return self._bucket(kind, rate, f"{kind}:{self.network}") if rate else None

    def _bucket(self, key: str | int, rate: Rate, name: str) -> Bucket | None:
        bucket = self._all.get(key)
        if bucket is None and rate:
            limit = key if isinstance(key, str) else "kinds"
            bucket = self._all[key] = Bucket(limit, name, rate, self._more)
        return bucket


class Rates:
    """The rate limits of one process. Loop thread only. `shared` holds the levels that all processes share."""

    def __init__(  # noqa: PLR0917
        self,
        settings: RateSettings | None = None,
        exempt: Sequence[Network] = (),
        shared: Shared | None = None,
        store: Callable[[], Store] = lambda: Store("", "", 0),
        workers: int = 1,
        tasks: BackgroundTasks | None = None,
    ) -> None:
        """`exempt`: networks without limits. `workers`: of this instance."""
        self.settings = settings or RateSettings()
        self.shared = SharedBuckets(shared, lambda: f"relay:rate:{store().name}:")
        self.shared.share = 1 / workers
        self._workers = workers
        self._exempt = tuple(exempt)
        self._cache = shared
        self._store = store
        self._tasks = tasks or BackgroundTasks()
        self._task: Task | None = None
        self._networks: dict[str, NetworkBuckets] = {}
        self._idle: OrderedDict[str, NetworkBuckets] = OrderedDict()
        self._author_rate = self.settings.author
        self._authors: OrderedDict[str, Bucket] = OrderedDict()

    def start(self) -> None:
        """Begin to forget what is idle; needs a running loop."""
        self._task = self._tasks.service(self._sweep(), "rate limits")

    async def stop(self) -> None:
        """End."""
        await cancel([self._task])

    @property
    def bytes(self) -> int:
        """Memory of the buckets held, estimated."""
        networks = len(self._networks) + len(self._idle)
        return BUCKET_BYTES * (len(self._authors) + BUCKETS_OF_NETWORK * networks)

    def is_exempt(self, host: str) -> bool:
        """Whether no limit applies to a client: of an exempt network, or of a Unix socket ("unix")."""
        return host == UNIX or is_in(host, self._exempt)

    # -- Networks ------------------------------------------------------------------------------------------------------

    def enter(self, host: str) -> NetworkBuckets:
        """The buckets of a client's network, for one session; `leave` must be called with them."""
        network = network_of(host)
        found = self._networks.get(network) or self._idle.pop(network, None)
        if found is None:
            found = NetworkBuckets(network, self.settings, self.shared.more)
        self._networks[network] = found
        found.sessions += 1
        return found

    def leave(self, buckets: NetworkBuckets) -> None:
        """A session that used these buckets has ended."""
        buckets.sessions -= 1
        if buckets.sessions:
            return
        del self._networks[buckets.network]
        self._idle[buckets.network] = buckets
        if len(self._idle) > MAX_IDLE_NETWORKS:
            for bucket in self._idle.popitem(last=False)[1]:
                self.shared.charge(bucket)

    def take_question(self, host: str) -> bool:
        """Charge the network of a client for a question over HTTP; False, counted: it is to be refused."""
        if self.is_exempt(host):
            return True
        buckets = self.enter(host)
        bucket = buckets.of("questions")
        is_enough = bucket is None or bucket.take()
        self.leave(buckets)
        counters.rate_limited["questions"] += not is_enough
        return is_enough

    # -- Authors -------------------------------------------------------------------------------------------------------

    def refusal_of_author(self, source: Source, event: Event) -> RelayError | None:
        """Charge the author of an event with a valid signature: without one, others could spend what is the author's.

        The key of a gift wrap is used once (59-6): the sender is charged if it has logged in, else what its network
        sends to this recipient.
        """
        if not source.limited or not self._author_rate.burst:
            return None
        name = event.pubkey
        if event.kind in kinds.ONE_TIME_KEYS:
            name = min(source.proved, default="") or f"{source.owner}:{_recipient(event)}"
        if self._author(name).take():
            return None
        counters.rate_limited["author"] += 1
        return RateLimited("too many events of this author, slow down")

    def _author(self, name: str) -> Bucket:
        bucket = self._authors.get(name)
        if bucket is not None:
            self._authors.move_to_end(name)
            return bucket
        bucket = self._authors[name] = Bucket("author", name, self._author_rate, self.shared.more)
        if len(self._authors) > MAX_AUTHORS:
            self.shared.charge(self._authors.popitem(last=False)[1])
        return bucket

    # -- What is idle --------------------------------------------------------------------------------------------------

    def _buckets(self) -> Iterator[Bucket]:
        yield from self._authors.values()
        for networks in (self._networks, self._idle):
            for each in networks.values():
                yield from each

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self._count_workers()
            await self.sweep()

    async def sweep(self) -> None:
        """Forget what is as at its beginning, and settle what else was idle since the last sweep."""
        for number, bucket in enumerate(list(self._buckets())):
            if bucket.is_idle() and not bucket.is_fresh:
                self.shared.settle(bucket)
            if number % SWEEP_STEP == SWEEP_STEP - 1:
                await asyncio.sleep(SWEEP_PAUSE_SECONDS)
        for name in [name for name, bucket in self._authors.items() if bucket.is_fresh and not bucket.asking]:
            del self._authors[name]
        for name in [name for name, each in self._idle.items() if all(b.is_fresh and not b.asking for b in each)]:
            del self._idle[name]

    async def _count_workers(self) -> None:
        """How many workers share the rates while the cache is away: those that publish figures, and no fewer than this
        instance has.
        """
        if self._cache is None:
            return
        key = workers_key(self._store().name).encode()
        try:
            found = await self._cache.call(key, b"SCARD", key)
        except (Unavailable, ReplyError):
            return
        self.shared.share = 1 / max(self._workers, found)


def _recipient(event: Event) -> str:
    """The first `p` tag's value, "" without one."""
    return next((tag[1] for tag in event.tags if len(tag) > 1 and tag[0] == "p"), "")[:64]
