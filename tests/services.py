"""pytest plugin: one embedded PostgreSQL and Valkey for the session, started before Django reads its settings.

Loaded by `-p tests.services` (pyproject.toml). Sets DATABASE_URL, REDIS_URL and SECRET_KEY; with the first two set
already it uses those servers. `TEST_SERVICES=off` starts nothing, for runs of tests/unit alone.
Tests that start a whole `serve` must not see these variables: tests/acceptance/relay_process.py leaves them out.
"""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import psycopg
import pytest

from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.embedded_servers import EmbeddedServers

VARIABLES = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")


class SessionServices:
    """The servers of this session in a folder of their own. `stop()` may be called twice."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="relay-tests-"))
        self._data = DataFolder(self._folder)
        self._data.take()
        self._services = EmbeddedServers(
            self._data, postgres="DATABASE_URL" not in os.environ, valkey="REDIS_URL" not in os.environ
        )

    def start(self) -> None:
        self._services.start()
        if "DATABASE_URL" in self._services.addresses:
            self._spare_the_disk(self._services.addresses["DATABASE_URL"])
        os.environ.update(self._services.addresses)
        os.environ.setdefault("SECRET_KEY", "a key for tests alone, long enough for the checks: 0123456789")
        os.environ["RELAY_DATA_DIR"] = str(self._folder)

    @staticmethod
    def _spare_the_disk(url: str) -> None:
        """Tables are emptied before nearly every test, which waits for the disk; what is lost with a machine is none of
        what these tests are about. Standbys take the setting over.
        """
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        self._services.stop()
        self._data.release()
        shutil.rmtree(self._folder, ignore_errors=True)


def _raise_exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Iterator[None]:
    """Before pytest-django, which reads the settings in this same hook."""
    if os.environ.get("TEST_SERVICES") != "off":
        signal.signal(signal.SIGTERM, _raise_exit)  # so that the servers are stopped then as well
        services = SessionServices()
        atexit.register(services.stop)
        services.start()
    return (yield)
