"""Brings the PostgreSQL servers up: made where there are none, the primary first, every other one as its standby."""

import time

import psycopg

from relayproject.runtime.cluster import patroni, postgres, probes, promotion
from relayproject.runtime.cluster.detached import wait_until_gone
from relayproject.runtime.cluster.members import main_process, processes
from relayproject.runtime.cluster.part import Part
from relayproject.runtime.cluster.probes import number_of
from relayproject.runtime.cluster.site import DATABASE, Site
from relayproject.runtime.cluster.starter import Starter
from relayproject.runtime.cluster.stop import stop
from relayproject.runtime.errors import StartupError, reason

START_SECONDS = 60.0
STREAM_SECONDS = 8.0
PATRONI_SECONDS = 90.0


def start_plain(starter: Starter) -> None:
    """The noted primary, then its replicas. One that was the primary before, or does not stream, is copied anew.

    The noted primary is a standby if its promotion did not end.
    """
    site = starter.site
    primary = number_of(starter.state.primary)
    if not postgres.has_data(site, primary):
        starter.say(f"making the database of postgres-{primary}")
        postgres.make_primary(site, primary)
    _start(starter, primary)
    promotion.complete(site, starter.state.primary)
    others = [number for number in range(1, site.options.servers + 1) if number != primary]
    for number in others:
        _start_replica(starter, number, primary)
    for number in others:
        if not _streams(site, number, STREAM_SECONDS):
            starter.say(f"postgres-{number} cannot follow postgres-{primary}: copying it anew")
            stop(site, starter.state, [f"postgres-{number}"], starter.say)
            postgres.make_replica(site, number, primary)
            _start(starter, number)
            if not _streams(site, number, START_SECONDS):
                raise StartupError(f"postgres-{number} does not stream (see {site.log(f'postgres-{number}')}).")


def _start_replica(starter: Starter, number: int, primary: int) -> None:
    site, name = starter.site, f"postgres-{number}"
    if main_process(site, starter.state, name) and probes.ask(site, postgres.part(site, number)).role == "primary":
        starter.say(f"stopping {name}, which was the primary before postgres-{primary}")
        stop(site, starter.state, [name], starter.say)
    if not postgres.is_standby(site, number):
        starter.say(f"copying postgres-{primary} to {name}")
        postgres.make_replica(site, number, primary)
    _start(starter, number)


def _start(starter: Starter, number: int) -> None:
    """Start postgres-`number` unless it runs, and wait until it answers."""
    site, part = starter.site, postgres.part(starter.site, number)
    if starter.missing([part]):
        _remove_leftovers(starter, part)
        postgres.configure(site, number)
        starter.say(f"starting {part.name}")
        starter.start(part)
    starter.wait([part], lambda _: probes.ask(site, part).role, START_SECONDS)


def _remove_leftovers(starter: Starter, part: Part) -> None:
    """The children of a postmaster that was killed end by themselves; its pid may belong to another process by now."""
    for process in processes(starter.site, starter.state, part.name):
        wait_until_gone(process, START_SECONDS)
    (part.folder / "postmaster.pid").unlink(missing_ok=True)


def _streams(site: Site, number: int, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if probes.ask(site, postgres.part(site, number)).well:
            return True
        time.sleep(0.05)
    return False


def start_patroni(starter: Starter) -> None:
    """Patroni of each server; the first one makes the database when there is none."""
    site = starter.site
    parts = [patroni.part(site, number) for number in range(1, site.options.servers + 1)]
    missing = starter.missing(parts)
    is_new = not any(postgres.has_data(site, number) for number in range(1, site.options.servers + 1))
    if missing:
        starter.say(f"starting {', '.join(part.name for part in missing)}")
    for part in missing:
        patroni.configure(site, number_of(part.name))
        starter.start(part)
        if is_new and part is parts[0]:
            starter.wait([part], lambda _: _leader(site), PATRONI_SECONDS)
    starter.wait(parts[:1], lambda _: _leader(site), PATRONI_SECONDS)
    starter.wait(parts, lambda part: _is_well_under_patroni(site, part), PATRONI_SECONDS)


def _is_well_under_patroni(site: Site, part: Part) -> bool:
    """Patroni and its server; it may stop and start the server meanwhile."""
    return probes.ask(site, part).well and probes.ask(site, postgres.part(site, number_of(part.name))).well


def _leader(site: Site) -> int | None:
    return next(probes.primaries(site), None)


def ensure_database(site: Site) -> None:
    """Make the relay's database on the primary where it is missing; raises StartupError."""
    primary = _leader(site)
    if primary is None:
        raise StartupError("No PostgreSQL server accepts writes.")
    try:
        with site.connect(primary) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.Error as error:
        raise StartupError(f"The database cannot be made on postgres-{primary} ({reason(error)}).") from error
