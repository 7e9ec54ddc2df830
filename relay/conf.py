"""The relay's settings as typed values, read from Django's settings."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from django.conf import settings

from relay.protocol.info import RelayIdentity
from relay.protocol.limits import Limits
from relay.protocol.rates import RateSettings, parse_rates_of_kinds
from relay.protocol.removal import Place, places_of
from relay.protocol.retention import parse_rules

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Life:
    """How long a connection is used: one beyond the least number until it was idle for `idle_seconds`, each until it is
    `age_seconds` old (0: no limit) or had `uses` statements (0: no limit).

    PostgreSQL's process of a connection keeps what it has ever read of the catalogue; a new one begins without.
    """

    idle_seconds: float = 30.0
    age_seconds: float = 3_600.0
    uses: int = 7_500

    def is_over(self, age_seconds: float, uses: int) -> bool:
        """True if a connection is to be replaced."""
        return bool((self.uses and uses >= self.uses) or (self.age_seconds and age_seconds >= self.age_seconds))


@dataclass(frozen=True, slots=True)
class ReplicaAddress:
    """A replica of the settings: `alias` in Django's DATABASES, its share of the queries, and where it stands."""

    alias: str
    weight: int = 1
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """Bounds and durations of one process. Sizes are in bytes, durations in seconds."""

    limits: Limits
    identity: RelayIdentity
    max_connections: int
    max_connections_per_ip: int
    ip_limit_exempt: tuple[Network, ...]
    rates: RateSettings = field(hash=False)
    max_outbox_bytes: int
    max_filter_bytes: int  # of one connection
    filter_bytes: int  # of the process
    max_pending_events: int
    query_seconds: float
    write_seconds: float
    drain_seconds: float
    write_batch: int
    write_queue: int
    slow_query_seconds: float  # from when on a statement counts as slow
    read_connections: int  # for quick queries to the primary, always open
    read_connections_most: int  # while queries wait
    replica_connections: int  # the same for each replica
    replica_connections_most: int
    slow_connections: int  # for expensive queries, beside those
    connection_life: Life
    stale_read_seconds: float  # how long copies answer while the primary is gone
    replicas: tuple[ReplicaAddress, ...]
    zone: str  # where this instance runs, "" if all replicas are equally near
    query_queue: int  # queries that wait for the database, in each lane
    query_queue_per_owner: int
    query_queue_bytes: int  # of their parameters
    answer_bytes: int  # of one worker
    ring_bytes: int
    window_bytes: int  # 0: no window
    cache_layers: str  # "none", "l1", "l1+l2"
    policy: str  # dotted path of a function, "" without one
    plugin: str  # command of a write-policy plug-in, "" without one
    policy_seconds: float
    policy_queue: int  # events
    policy_accepts: bool  # what happens to an event without a verdict
    url: str  # ws:// or wss://, as clients reach the relay
    urls: tuple[str, ...]  # that and the further ones: a login may name any of them
    own_places: frozenset[Place]  # the addresses that requests to vanish name
    cache_url: str  # "": no cache
    bus_urls: tuple[str, ...]
    instance: str  # name of this instance (one start of `serve`)
    workers: int  # of this instance
    worker: str  # number of this worker in its instance, "" without a supervisor
    ack_table: int | None  # file descriptor of the shared memory of the instance's workers


@cache
def config() -> Config:
    """The settings of this process, cached."""
    return Config(
        limits=limits(),
        identity=identity(),
        max_connections=settings.RELAY_MAX_CONNECTIONS,
        max_connections_per_ip=settings.RELAY_MAX_CONNECTIONS_PER_IP,
        ip_limit_exempt=tuple(ip_network(text, strict=False) for text in settings.RELAY_IP_LIMIT_EXEMPT),
        rates=rates(),
        max_outbox_bytes=settings.RELAY_MAX_OUTBOX_BYTES,
        max_filter_bytes=settings.RELAY_MAX_FILTER_BYTES,
        filter_bytes=settings.RELAY_FILTER_BYTES,
        max_pending_events=settings.RELAY_MAX_PENDING_EVENTS,
        query_seconds=settings.RELAY_QUERY_SECONDS,
        write_seconds=settings.RELAY_WRITE_SECONDS,
        drain_seconds=settings.RELAY_DRAIN_SECONDS,
        write_batch=settings.RELAY_WRITE_BATCH,
        write_queue=settings.RELAY_WRITE_QUEUE,
        read_connections=settings.RELAY_PRIMARY_POOL_MIN - settings.RELAY_SLOW_QUERY_CONNECTIONS,
        read_connections_most=settings.RELAY_PRIMARY_POOL_MAX - settings.RELAY_SLOW_QUERY_CONNECTIONS,
        replica_connections=settings.RELAY_REPLICA_POOL_MIN - settings.RELAY_SLOW_QUERY_CONNECTIONS,
        replica_connections_most=settings.RELAY_REPLICA_POOL_MAX - settings.RELAY_SLOW_QUERY_CONNECTIONS,
        slow_connections=settings.RELAY_SLOW_QUERY_CONNECTIONS,
        slow_query_seconds=settings.RELAY_SLOW_QUERY_SECONDS,
        connection_life=Life(
            settings.RELAY_CONNECTION_IDLE_SECONDS,
            settings.RELAY_CONNECTION_AGE_SECONDS,
            settings.RELAY_CONNECTION_USES,
        ),
        stale_read_seconds=settings.RELAY_STALE_READ_SECONDS,
        replicas=tuple(ReplicaAddress(*described) for described in settings.REPLICAS),
        zone=settings.RELAY_ZONE,
        query_queue=settings.RELAY_QUERY_QUEUE,
        query_queue_per_owner=settings.RELAY_QUERY_QUEUE_PER_OWNER,
        query_queue_bytes=settings.RELAY_QUERY_QUEUE_BYTES,
        answer_bytes=settings.RELAY_ANSWER_BYTES,
        ring_bytes=settings.RELAY_RING_BYTES,
        window_bytes=settings.RELAY_WINDOW_BYTES,
        cache_layers=settings.RELAY_CACHE_LAYERS,
        policy=settings.RELAY_POLICY,
        plugin=settings.RELAY_WRITE_POLICY_PLUGIN,
        policy_seconds=settings.RELAY_POLICY_SECONDS,
        policy_queue=settings.RELAY_POLICY_QUEUE,
        policy_accepts=settings.RELAY_POLICY_FAILURE == "accept",
        url=settings.RELAY_URL,
        urls=(settings.RELAY_URL, *settings.RELAY_OTHER_URLS),
        own_places=own_places(),
        cache_url=settings.CACHE_URL,
        bus_urls=settings.BUS_URL or (settings.DEFAULT_SERVER,),
        instance=settings.RELAY_INSTANCE,
        workers=settings.RELAY_WORKERS,
        worker=settings.RELAY_WORKER,
        ack_table=int(settings.RELAY_ACK_TABLE) if settings.RELAY_ACK_TABLE else None,
    )


def own_places() -> frozenset[Place]:
    """The addresses of this relay: that of RELAY_URL and the further ones (62-1)."""
    return places_of((settings.RELAY_URL, *settings.RELAY_OTHER_URLS))


def own_places_beside(noted: Iterable[str]) -> frozenset[Place]:
    """For a command, which may lack the environment of `serve`: the URLs that the store has noted, and RELAY_URL, if it
    is set, and RELAY_OTHER_URLS of this process. Empty if there is no RELAY_URL at all.
    """
    own = [settings.RELAY_URL] if settings.RELAY_URL_IS_SET else []
    known = [*noted, *own]
    return places_of([*known, *settings.RELAY_OTHER_URLS]) if known else frozenset()


def rates() -> RateSettings:
    """The rate limits."""
    return RateSettings(
        messages=settings.RELAY_RATE_MESSAGES,
        bytes=settings.RELAY_RATE_BYTES,
        events=settings.RELAY_RATE_EVENTS,
        kinds=parse_rates_of_kinds(settings.RELAY_RATE_KINDS),
        questions=settings.RELAY_RATE_QUESTIONS,
        sign_ins=settings.RELAY_RATE_SIGN_INS,
        author=settings.RELAY_RATE_AUTHOR,
    )


def limits() -> Limits:
    """The protocol's limits, most of which NIP-11 publishes."""
    return Limits(
        max_message_length=settings.RELAY_MAX_MESSAGE_LENGTH,
        max_subscriptions=settings.RELAY_MAX_SUBSCRIPTIONS,
        max_limit=settings.RELAY_MAX_LIMIT,
        default_limit=settings.RELAY_DEFAULT_LIMIT,
        max_subid_length=settings.RELAY_MAX_SUBID_LENGTH,
        max_event_tags=settings.RELAY_MAX_EVENT_TAGS,
        max_content_length=settings.RELAY_MAX_CONTENT_LENGTH,
        created_at_lower_limit=settings.RELAY_CREATED_AT_LOWER_LIMIT,
        created_at_upper_limit=settings.RELAY_CREATED_AT_UPPER_LIMIT,
        max_filters=settings.RELAY_MAX_FILTERS,
        max_filter_values=settings.RELAY_MAX_FILTER_VALUES,
        min_pow_difficulty=settings.RELAY_MIN_POW_DIFFICULTY,
        min_pow_by_kind=settings.RELAY_MIN_POW_BY_KIND,
        auth_to_read=settings.RELAY_AUTH_TO_READ is None,
        auth_to_write=None if settings.RELAY_AUTH_TO_WRITE is None else frozenset(settings.RELAY_AUTH_TO_WRITE),
        ephemeral_seconds=settings.RELAY_EPHEMERAL_SECONDS,
        restricted_writes=settings.RELAY_RESTRICTED_WRITES,
        restricted_kinds=settings.RELAY_RESTRICTED_KINDS,
        retention=parse_rules(settings.RELAY_RETENTION),
    )


def identity() -> RelayIdentity:
    """The relay's description of itself (NIP-11)."""
    return RelayIdentity(
        name=settings.RELAY_NAME,
        description=settings.RELAY_DESCRIPTION,
        banner=settings.RELAY_BANNER,
        icon=settings.RELAY_ICON,
        pubkey=settings.RELAY_PUBKEY,
        own_pubkey=settings.RELAY_SELF,
        contact=settings.RELAY_CONTACT,
        terms_of_service=settings.RELAY_TERMS_OF_SERVICE,
        software=settings.RELAY_SOFTWARE,
        version=settings.VERSION,
    )
