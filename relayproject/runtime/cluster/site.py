"""What the parts of one cluster share: folder, options, secrets, and the user that runs PostgreSQL."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from relayproject.runtime.cluster.options import Options
from relayproject.runtime.cluster.part import HOST
from relayproject.runtime.run_as import RunAs

USER = DATABASE = "relay"
CONNECT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster in its folder."""

    folder: Path
    options: Options
    secret_key: str
    password: str
    run_as: RunAs

    def log(self, name: str) -> Path:
        """The log file of a part."""
        return self.folder / "logs" / f"{name}.log"

    def data(self, name: str) -> Path:
        """The folder of a part."""
        return self.folder / name

    @property
    def postgres_names(self) -> list[str]:
        """Names of the PostgreSQL servers."""
        return [f"postgres-{number}" for number in range(1, self.options.servers + 1)]

    @property
    def database_url(self) -> str:
        """Of all PostgreSQL servers: the one that accepts writes is taken."""
        hosts = ",".join(f"{HOST}:{self.options.postgres_port(n)}" for n in range(1, self.options.servers + 1))
        return f"postgresql://{USER}:{self.password}@{hosts}/{DATABASE}"

    @property
    def replica_urls(self) -> str:
        """Each server by itself: the relay uses those that are standbys."""
        ports = [self.options.postgres_port(number) for number in range(1, self.options.servers + 1)]
        urls = (f"postgresql://{USER}:{self.password}@{HOST}:{port}/{DATABASE}" for port in ports)
        return ",".join(urls) if self.options.replicas else ""

    def connect(self, number: int, database: str = "postgres") -> "psycopg.Connection[Any]":
        """To postgres-`number`, as superuser; raises psycopg.OperationalError."""
        return psycopg.connect(
            host=HOST,
            port=self.options.postgres_port(number),
            user=USER,
            password=self.password,
            dbname=database,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name="relay cluster",
            options="-c statement_timeout=5s -c synchronous_commit=local",
        )


def write_config(path: Path, text: str, owner: int) -> None:
    """Write a file that holds secrets, for a server that may run as another user."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    if os.geteuid() == 0:
        os.chown(path, owner, -1)
