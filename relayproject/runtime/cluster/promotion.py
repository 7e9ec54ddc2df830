"""A replica becomes the primary: through Patroni where it manages the servers, else by hand.

By hand, no acknowledged commit may be lost. The old primary is ended first, so that no client writes to it any more.
A commit was confirmed by any one of the replicas, so all of them must answer, and the one that has received most of the
WAL is promoted; `force` promotes without the others.
"""

import signal
import time

import psycopg

from relayproject.runtime.cluster import probes
from relayproject.runtime.cluster.detached import is_paused, send, wait_until_gone
from relayproject.runtime.cluster.members import main_process, processes
from relayproject.runtime.cluster.options import Failover
from relayproject.runtime.cluster.probes import number_of
from relayproject.runtime.cluster.say import Say
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.state import State, save
from relayproject.runtime.errors import StartupError

STOP_SECONDS = 10.0
PROMOTE_SECONDS = 30
RECEIVED = "SELECT coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn"


def promote(site: Site, state: State, name: str | None, say: Say, *, force: bool) -> str:
    """Promote `name`, or the best replica; returns the new primary's name. Raises StartupError."""
    if name is not None and name not in site.postgres_names:
        raise StartupError(f"{name} is none of {', '.join(site.postgres_names)}.")
    if site.options.failover is Failover.PATRONI:
        return _through_patroni(site, name, say)
    if name == state.primary:
        raise StartupError(f"{name} is the primary. If it is down, `cluster up` starts it, or promote another one.")
    received = _received(site, state, name, force=force)
    _fence(site, state, say)
    best = _choose(site, list(received), name, force=force)
    say(f"promoting {best}")
    with site.connect(number_of(best)) as connection:
        connection.execute("SET statement_timeout = 0")
        if connection.execute("SELECT pg_promote(true, %s)", [PROMOTE_SECONDS]).fetchone() != (True,):
            raise StartupError(f"{best} was not promoted within {PROMOTE_SECONDS} s (see {site.log(best)}).")
    old, state.primary = state.primary, best
    save(site.folder, state)
    say(f"{best} is the primary. `cluster up` makes {old} a replica of it.")
    return best


def _received(site: Site, state: State, name: str | None, *, force: bool) -> dict[str, int]:
    """How far each replica has received the log, in bytes. Raises StartupError when one does not answer."""
    found = {}
    for one in site.postgres_names:
        if one != state.primary:
            try:
                with site.connect(number_of(one)) as connection:
                    row = connection.execute(RECEIVED).fetchone()
                found[one] = int(row[0]) if row else 0
            except psycopg.Error as error:
                if one == name or not force:
                    raise StartupError(
                        f"{one} does not answer, and may have events that the others have not: resume it, or --force."
                    ) from error
    if not found:
        raise StartupError("There is no replica that answers.")
    return found


def _choose(site: Site, names: list[str], name: str | None, *, force: bool) -> str:
    """The replica that has most, now that the primary writes no more; raises StartupError if `name` has less."""
    received = {}
    for one in names:
        with site.connect(number_of(one)) as connection:
            row = connection.execute(RECEIVED).fetchone()
            received[one] = int(row[0]) if row else 0
    best = max(received, key=lambda one: received[one])
    if name is None:
        return best
    if received[name] < received[best] and not force:
        raise StartupError(f"{name} lacks {received[best] - received[name]} bytes that {best} has: promote that one.")
    return name


def _fence(site: Site, state: State, say: Say) -> None:
    """End the old primary: in order if it runs, so that the replicas get all that it has; else by SIGKILL."""
    process = main_process(site, state, state.primary)
    if process is not None and not is_paused(process):
        say(f"stopping {state.primary}")
        send(process, signal.SIGINT)
        wait_until_gone(process, STOP_SECONDS)
    for one in processes(site, state, state.primary):
        send(one, signal.SIGKILL)
        wait_until_gone(one, STOP_SECONDS)


def _through_patroni(site: Site, name: str | None, say: Say) -> str:
    """Ask Patroni for a switchover, or for a failover while there is no leader. Raises StartupError."""
    leader = next(probes.primaries(site), None)
    if leader is None and name is None:
        raise StartupError("No server leads now: Patroni promotes one by itself, or name one.")
    if name == f"postgres-{leader}":
        raise StartupError(f"{name} is the primary.")
    order = {"candidate": name} if name else {}
    path = "/failover"
    if leader is not None:
        path, order["leader"] = "/switchover", f"postgres-{leader}"
    say(f"asking Patroni for a {path[1:]}")
    code, text = probes.order_patroni(site, path, order)
    if code not in {200, 202}:
        raise StartupError(f"Patroni refuses: {text}")
    ends = time.monotonic() + PROMOTE_SECONDS
    while time.monotonic() < ends:
        new = next(probes.primaries(site), None)
        if new is not None and new != leader:
            say(f"postgres-{new} is the primary")
            return f"postgres-{new}"
        time.sleep(0.1)
    raise StartupError(f"Patroni has promoted none within {PROMOTE_SECONDS} s.")
