"""Asks each part for its role, its state and its lag. No question takes longer than a few seconds."""

import base64
import contextlib
import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from relayproject.runtime.cluster import front, valkey
from relayproject.runtime.cluster.part import HOST, Kind, Part
from relayproject.runtime.cluster.site import USER, Site

SECONDS = 2.0
ORDER_SECONDS = 30.0
FAILURES = (OSError, ValueError, TypeError, LookupError, http.client.HTTPException, psycopg.Error, redis.RedisError)
"""Of a part that is down, hangs, or ends while it answers."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever http_proxy says: the parts are on this machine."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a part says of itself. well: it does its work. lag_bytes: of a replica, None if unknown."""

    well: bool
    role: str = ""
    detail: str = ""
    lag_bytes: int | None = None


SILENT = Answer(False, detail="does not answer")


def ask(site: Site, part: Part) -> Answer:
    """The part's answer; never raises for a part that is down or hangs."""
    try:
        return _PROBES[part.kind](site, part)
    except FAILURES as error:
        detail = f"{error}".strip().splitlines()
        return replace(SILENT, detail=detail[0][:80] if detail and isinstance(error, redis.RedisError) else "no answer")


def get(
    port: int,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> tuple[int, bytes]:
    """Status and body of a request over HTTP; raises OSError."""
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", body, dict(headers or {}))
    try:
        with _direct.open(request, timeout=seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def order_patroni(site: Site, path: str, order: dict[str, str]) -> tuple[int, str]:
    """Send an order to the first Patroni that answers: its status and its text; 0 if none answers."""
    login = base64.b64encode(f"{USER}:{site.password}".encode()).decode()
    head = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    for number in range(1, site.options.servers + 1):
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, text = get(site.options.patroni_port(number), path, json.dumps(order).encode(), head, ORDER_SECONDS)
            return status, text.decode(errors="replace").strip()
    return 0, "none of them answers"


def _etcd(_site: Site, part: Part) -> Answer:
    _, health = get(part.port, "/health")
    _, text = get(part.port, "/v3/maintenance/status", b"{}")
    status = json.loads(text)
    leads = status.get("leader") == status["header"]["member_id"]
    return Answer(json.loads(health).get("health") == "true", "leader" if leads else "follower")


def _patroni(_site: Site, part: Part) -> Answer:
    _, text = get(part.port, "/patroni")
    found = json.loads(text)
    role = {"master": "leader", "primary": "leader"}.get(found["role"], found["role"])
    detail = f"timeline {found['timeline']}" if "timeline" in found else ""
    return Answer(found["state"] in {"running", "streaming"}, role.replace("_", " "), detail)


POSITION = """SELECT pg_is_in_recovery(), (SELECT status FROM pg_stat_wal_receiver),
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
    current_setting('synchronous_standby_names') <> ''"""


def _postgres(site: Site, part: Part) -> Answer:
    with site.connect(number_of(part.name)) as connection:
        recovering, receiver, position, synchronous = connection.execute(POSITION).fetchone() or (False, "", "0/0", 0)
        if recovering:
            return Answer(receiver == "streaming", "replica", receiver or "follows no primary", _bytes(position))
        (standbys,) = connection.execute(
            "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        ).fetchone() or (0,)
    return Answer(
        bool(standbys) or not synchronous,
        "primary",
        f"{standbys} {'standby streams' if standbys == 1 else 'standbys stream'}",
        _bytes(position),
    )


def _bytes(position: str) -> int:
    """A position in the write-ahead log in bytes; `with_lag` makes lags of them."""
    high, _, low = position.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def with_lag(answers: dict[str, Answer]) -> dict[str, Answer]:
    """The answers with the lag of each replica behind the primary in place of positions."""
    newest = max((one.lag_bytes or 0 for one in answers.values() if one.role == "primary"), default=None)
    return {name: replace(one, lag_bytes=_lag(one, newest)) for name, one in answers.items()}


def _lag(one: Answer, newest: int | None) -> int | None:
    if one.role != "replica" or one.lag_bytes is None or newest is None:
        return None
    return max(0, newest - one.lag_bytes)


def valkey_client(site: Site, port: int, *, password: bool = True) -> "redis.Redis":
    """A client of one Valkey or Sentinel."""
    return redis.Redis(
        host=HOST,
        port=port,
        password=site.password if password else None,
        socket_timeout=SECONDS,
        socket_connect_timeout=SECONDS,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),  # by default a frozen server would be tried four times
    )


def _valkey(site: Site, part: Part) -> Answer:
    with contextlib.closing(valkey_client(site, part.port)) as client:
        found: Any = client.info("replication")
        role = {"slave": "replica"}.get(found["role"], found["role"])
        if found["role"] == "slave":
            up = found["master_link_status"] == "up"
            return Answer(up, role, f"of {found['master_port']}" if up else "follows no master")
        clustered: Any = client.info("cluster")
        if clustered.get("cluster_enabled"):
            state: Any = client.cluster("INFO")
            text = state if isinstance(state, str) else "\n".join(f"{k}:{v}" for k, v in dict(state).items())
            return Answer("cluster_state:ok" in text, role)
        return Answer(True, role)


def _sentinel(site: Site, part: Part) -> Answer:
    with contextlib.closing(valkey_client(site, part.port, password=False)) as client:
        found: Any = client.sentinel_get_master_addr_by_name(valkey.SERVICE)
        return Answer(found is not None, "sentinel", f"master {found[1]}" if found else "knows no master")


def _relay(_site: Site, part: Part) -> Answer:
    status, text = get(part.port, "/ready")
    with contextlib.suppress(ValueError):
        degraded = json.loads(text).get("degraded")
        if degraded:
            return Answer(False, "", f"degraded: {', '.join(degraded)}"[:80])
    return Answer(status == 200, "", "" if status == 200 else "not ready")


def balancer_states(site: Site) -> dict[str, str]:
    """The state of each instance as HAProxy sees it: UP, DOWN, DRAIN, MAINT, or on the way; raises OSError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(front.stats_socket(site)))
        connection.sendall(b"show stat\n")
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
    rows = [line.split(",") for line in b"".join(parts).decode().splitlines() if line]
    backend, name, state = (rows[0].index(column) for column in ("# pxname", "svname", "status"))
    return {row[name]: row[state] for row in rows if row[backend] == "instances" and row[name] != "BACKEND"}


def _haproxy(site: Site, _part: Part) -> Answer:
    states = balancer_states(site)
    up = sum(state.startswith("UP") for state in states.values())
    return Answer(up == len(states), "balancer", f"{up} of {len(states)} instances up")


def _prometheus(_site: Site, part: Part) -> Answer:
    return Answer(get(part.port, "/-/ready")[0] == 200)


def number_of(name: str) -> int:
    """2 of postgres-2."""
    return int(name.rpartition("-")[2])


def primaries(site: Site) -> Iterator[int]:
    """Numbers of the PostgreSQL servers that accept writes."""
    for number in range(1, site.options.servers + 1):
        with contextlib.suppress(psycopg.Error), site.connect(number) as connection:
            if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
                yield number


_PROBES: dict[Kind, Callable[[Site, Part], Answer]] = {
    Kind.ETCD: _etcd,
    Kind.PATRONI: _patroni,
    Kind.POSTGRES: _postgres,
    Kind.VALKEY: _valkey,
    Kind.SENTINEL: _sentinel,
    Kind.RELAY: _relay,
    Kind.HAPROXY: _haproxy,
    Kind.PROMETHEUS: _prometheus,
}
