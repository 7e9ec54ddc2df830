"""Django's DATABASES: the primary and the read replicas, with libpq's parameters for every connection."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dj_database_url

from relayproject.env_urls import Replica

CONNECTION_AGE_SECONDS = 60
REPLICA_ENGINE = "relayproject.replica_backend"
APPLICATION_NAME_CHARACTERS = 63
"""PostgreSQL keeps the first 63 bytes; the last ones tell instances and workers apart."""

SESSION = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
"""The server ends a session that waits for a client which went away silently after 11 s, with its transaction and its
locks. By default it does so after two hours, for which a lost machine would keep beat's lock and its connections.
There is no tcp_user_timeout, which would find a session sooner that was just answering: it would also end one whose
client takes no rows for so long, such as an export into a pipe that waits.
"""


def databases_of(
    primary: str,
    replicas: Iterable[Replica],
    *,
    socket_folder: Path,
    application_name: str,
    connect_seconds: int,
    statement_seconds: float | None,
    has_pooler: bool,
) -> dict[str, dict[str, Any]]:
    """`primary`: a URL; "" is the embedded server, in `socket_folder`. `statement_seconds`: limit of a statement, None
    for none; a pooler takes no such parameter. `has_pooler`: a connection may be another one in the next transaction.
    """
    found = {"default": _database(primary or "postgresql:///relay", has_pooler)}
    for replica in replicas:
        described = {**_database(replica.url, has_pooler), "ENGINE": REPLICA_ENGINE}
        found[replica.alias] = {**described, "TEST": {"MIRROR": "default"}}
    for each in found.values():
        options = {**_parameters(connect_seconds), **each.get("OPTIONS", {})}
        options.setdefault("application_name", application_name[-APPLICATION_NAME_CHARACTERS:])
        if not has_pooler:
            limit = "" if statement_seconds is None else f"-c statement_timeout={round(statement_seconds * 1000)}"
            options["options"] = " ".join(filter(None, [SESSION, limit, options.get("options")]))
        for name in ("host", "port"):  # psql takes them from the fields alone
            each[name.upper()] = str(options.pop(name, each[name.upper()]))
        each["OPTIONS"] = options
    default = found["default"]
    if "," in default["HOST"]:
        default["OPTIONS"].setdefault("target_session_attrs", "read-write")
    if not primary:  # by default libpq would look for another server of this host
        default["HOST"] = str(socket_folder)
    return found


def _database(url: str, has_pooler: bool) -> dict[str, Any]:
    return {
        **dj_database_url.parse(url, conn_max_age=CONNECTION_AGE_SECONDS),
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": has_pooler,
    }


def _parameters(connect_seconds: int) -> dict[str, Any]:
    """libpq's parameters, by default. The connection to a server that goes away silently ends after 3 s: the
    keepalives notice it if nothing is under way, tcp_user_timeout if something was sent; each alone misses one case.
    """
    return {
        "connect_timeout": connect_seconds,
        "keepalives_idle": 1,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": 3_000,
    }
