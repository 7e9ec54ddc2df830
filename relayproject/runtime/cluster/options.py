"""What a cluster is made of, and the port of each part. Pure."""

from enum import StrEnum
from typing import Annotated

import msgspec

DEFAULT_BASE_PORT = 18_000
PORTS = 100
"""A cluster uses the ports from the base port up to this many further."""

MOST_INSTANCES = 20
MOST_REPLICAS = 8


class Failover(StrEnum):
    """Who promotes a replica."""

    PATRONI = "patroni"
    PLAIN = "plain"
    """`cluster promote` alone."""


class Valkey(StrEnum):
    """How the Redis-compatible server runs."""

    ONE = "one"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Options(msgspec.Struct, frozen=True):
    """A cluster. Noted in the state file; a later `up` may only change the number of instances and workers."""

    failover: Failover = Failover.PLAIN
    instances: Annotated[int, msgspec.Meta(ge=1, le=MOST_INSTANCES)] = 3
    replicas: Annotated[int, msgspec.Meta(ge=0, le=MOST_REPLICAS)] = 2
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    valkey: Valkey = Valkey.ONE
    base_port: Annotated[int, msgspec.Meta(ge=1_024, le=65_535 - PORTS)] = DEFAULT_BASE_PORT
    haproxy: bool = True
    prometheus: bool = True

    @property
    def servers(self) -> int:
        """PostgreSQL servers: the primary and its replicas."""
        return self.replicas + 1

    @property
    def public_port(self) -> int:
        """HAProxy's, for clients."""
        return self.base_port

    @property
    def operators_port(self) -> int:
        """HAProxy's, for the admin and metrics."""
        return self.base_port + 1

    @property
    def prometheus_port(self) -> int:
        """Prometheus's own page."""
        return self.base_port + 2

    def instance_port(self, number: int) -> int:
        """Of relay-`number`, which counts from 1, as all below."""
        return self.base_port + 10 + number

    def postgres_port(self, number: int) -> int:
        """Of postgres-`number`."""
        return self.base_port + 40 + number

    def patroni_port(self, number: int) -> int:
        """Of the REST interface of patroni-`number`."""
        return self.base_port + 50 + number

    def etcd_ports(self, number: int) -> tuple[int, int]:
        """Of etcd-`number`: for clients, for its peers."""
        return self.base_port + 60 + number, self.base_port + 65 + number

    def valkey_port(self, number: int) -> int:
        """Of valkey-`number`."""
        return self.base_port + 70 + number

    def valkey_bus_port(self, number: int) -> int:
        """Of valkey-`number`, for the other members of a Valkey cluster."""
        return self.base_port + 80 + number

    def sentinel_port(self, number: int) -> int:
        """Of sentinel-`number`."""
        return self.base_port + 90 + number

    @property
    def broker_port(self) -> int:
        """Of the Valkey for Celery alone, beside a Valkey cluster."""
        return self.base_port + 99

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://127.0.0.1:{self.public_port if self.haproxy else self.instance_port(1)}"
