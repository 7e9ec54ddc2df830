"""One process of a cluster: what is run, with what, and where it can be asked."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

HOST = "127.0.0.1"
PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


class Kind(StrEnum):
    """What a part is; the order of the members is the order of the start."""

    ETCD = "etcd"
    POSTGRES = "postgres"
    PATRONI = "patroni"
    VALKEY = "valkey"
    SENTINEL = "sentinel"
    RELAY = "relay"
    HAPROXY = "haproxy"
    PROMETHEUS = "prometheus"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the cluster that runs or is to run.

    argv: program as an absolute path, and arguments. settings: variables beyond those that are passed on. port: where
    it is asked. folder: its working directory and data. run_as: as of launch.py.
    """

    name: str
    kind: Kind
    argv: tuple[str, ...]
    folder: Path
    log: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    run_as: str = "self"

    @property
    def address(self) -> str:
        """As operators type it."""
        return f"{HOST}:{self.port}"


def find_program(name: str) -> str | None:
    """The path of a program of the system."""
    return shutil.which(name) or shutil.which(name, path=PROGRAM_PATH)
