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
from relayproject.runtime.cluster.members import main_process, processes, shown
from relayproject.runtime.cluster.options import Failover
from relayproject.runtime.cluster.part import Kind
from relayproject.runtime.cluster.probes import number_of
from relayproject.runtime.cluster.say import Say
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.state import State, save
from relayproject.runtime.errors import StartupError, reason

STOP_SECONDS = 10.0
PROMOTE_SECONDS = 30
RECEIVED = "SELECT coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn"


def promote(site: Site, state: State, name: str | None, say: Say, *, force: bool) -> str:
    """Promote `name`, or the best replica; returns the new primary's name. Raises StartupError."""
    if name is not None and name not in site.postgres_names:
        raise StartupError(f"{name} is none of {', '.join(site.postgres_names)}.")
    servers = [part.name for part in shown(site) if part.kind in {Kind.POSTGRES, Kind.PATRONI}]
    if not any(main_process(site, state, one) for one in servers):
        raise StartupError("No PostgreSQL server runs: `cluster up` starts them.")
    if site.options.failover is Failover.PATRONI:
        return _through_patroni(site, name, say)
    if name == state.primary:
        raise StartupError(f"{name} is the primary. If it is down, `cluster up` starts it, or promote another one.")
    received = _received(site, state, name, force=force)
    _fence(site, state, say)
    best = _choose(site, list(received), name, force=force)
    say(f"promoting {best}")
    # Noted first: however this command ends, the next `up` makes no primary of the old one, which may lack events then.
    old, state.primary = state.primary, best
    save(site.folder, state)
    complete(site, best)
    say(f"{best} is the primary. `cluster up` makes {old} a replica of it.")
    return best


def complete(site: Site, name: str) -> None:
    """Have the noted primary accept writes, if it still is a standby. Raises StartupError."""
    try:
        with site.connect(number_of(name)) as connection:
            if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
                return
            connection.execute("SET statement_timeout = 0")
            is_promoted = connection.execute("SELECT pg_promote(true, %s)", [PROMOTE_SECONDS]).fetchone() == (True,)
    except psycopg.Error as error:
        raise StartupError(f"{name} was not promoted ({reason(error)}): `cluster up` goes on with it.") from error
    if not is_promoted:
        raise StartupError(
            f"{name} was not promoted within {PROMOTE_SECONDS} s (see {site.log(name)}): `cluster up` goes on with it."
        )


def _received(site: Site, state: State, name: str | None, *, force: bool) -> dict[str, int]:
    """How far each replica has received the log, in bytes. Raises StartupError when one does not answer."""
    found = {}
    for one in site.postgres_names:
        if one != state.primary:
            try:
                found[one] = _received_by(site, one)
            except psycopg.Error as error:
                if one == name or not force:
                    is_down = main_process(site, state, one) is None
                    fault, remedy = (
                        ("is down", "`cluster up` starts it") if is_down else ("does not answer", "resume it")
                    )
                    raise StartupError(
                        f"{one} {fault}, and may have events that the others have not: {remedy}, or --force."
                    ) from error
    if not found:
        raise StartupError("There is no replica that answers.")
    return found


def _received_by(site: Site, name: str) -> int:
    """Raises psycopg.Error."""
    with site.connect(number_of(name)) as connection:
        row = connection.execute(RECEIVED).fetchone()
        return int(row[0]) if row else 0


def _choose(site: Site, names: list[str], name: str | None, *, force: bool) -> str:
    """The replica that has most, now that the primary writes no more; raises StartupError if `name` has less."""
    try:
        received = {one: _received_by(site, one) for one in names}
    except psycopg.Error as error:
        raise StartupError(
            f"The primary is stopped, and a replica does not answer any more ({reason(error)}): promote again."
        ) from error
    best = max(received, key=lambda one: received[one])
    if name is None:
        return best
    if received[name] < received[best] and not force:
        raise StartupError(f"{name} lacks {received[best] - received[name]} bytes that {best} has: promote that one.")
    return name


def _fence(site: Site, state: State, say: Say) -> None:
    """End the old primary: in order if it runs, so that the replicas get all that it has; else by SIGKILL.

    Raises StartupError if it does not end.
    """
    process = main_process(site, state, state.primary)
    if process is not None and not is_paused(process):
        say(f"stopping {state.primary}")
        send(process, signal.SIGINT)
        wait_until_gone(process, STOP_SECONDS)
    for one in processes(site, state, state.primary):
        send(one, signal.SIGKILL)
        if not wait_until_gone(one, STOP_SECONDS):
            raise StartupError(f"{state.primary} does not end, and may still write: nothing was promoted.")


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
