"""PostgreSQL without Patroni: a primary and streaming replicas, promoted by `cluster promote` alone.

Every server has the same configuration: as a standby it follows whichever server accepts writes, as a primary it waits
for one standby before it confirms a commit. So a promotion changes no file of the others.
"""

import os
import shutil
from pathlib import Path

from relayproject.runtime.cluster import program
from relayproject.runtime.cluster.part import HOST, Kind, Part
from relayproject.runtime.cluster.site import DATABASE, USER, Site, write_config
from relayproject.runtime.postgres import binaries
from relayproject.runtime.processes import bound_command
from relayproject.runtime.run_as import chown_tree

CONNECTIONS = 400
CLONE_SECONDS = 300.0
PARAMETERS = {
    "max_connections": str(CONNECTIONS),
    "shared_buffers": "128MB",
    "work_mem": "16MB",
    "wal_level": "replica",
    "wal_keep_size": "512MB",
    "max_wal_size": "1GB",
    "max_wal_senders": "12",
    "max_replication_slots": "12",
    "max_locks_per_transaction": "256",
    "hot_standby_feedback": "on",
    "max_standby_streaming_delay": "2s",
    "wal_receiver_status_interval": "1s",
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "200ms",
    "wal_sender_timeout": "5s",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
}
ACCESS = (f"host all all {HOST}/32 scram-sha-256", f"host replication all {HOST}/32 scram-sha-256")


def part(site: Site, number: int) -> Part:
    """postgres-`number`."""
    name = f"postgres-{number}"
    data = site.data(name)
    return Part(
        name=name,
        kind=Kind.POSTGRES,
        argv=(str(binaries() / "postgres"), "-D", str(data)),
        folder=data,
        log=site.log(name),
        port=site.options.postgres_port(number),
        run_as=site.run_as.launch,
    )


def has_data(site: Site, number: int) -> bool:
    """Whether the server was made."""
    return (site.data(f"postgres-{number}") / "PG_VERSION").exists()


def is_standby(site: Site, number: int) -> bool:
    """Whether it starts as a standby."""
    return (site.data(f"postgres-{number}") / "standby.signal").exists()


def configure(site: Site, number: int) -> None:
    """Write cluster.conf and the access rules; before every start."""
    ports = [site.options.postgres_port(n) for n in range(1, site.options.servers + 1)]
    primary = (
        f"host={','.join([HOST] * len(ports))} port={','.join(map(str, ports))} user={USER} password={site.password}"
        f" application_name=postgres-{number} target_session_attrs=read-write connect_timeout=2"
    )
    # By name: the stream of a base backup would confirm commits too, and may never become a standby.
    names = ", ".join(f'"{name}"' for name in site.postgres_names)
    own = {
        "listen_addresses": HOST,
        "port": str(site.options.postgres_port(number)),
        "unix_socket_directories": "",
        "cluster_name": f"postgres-{number}",
        "primary_conninfo": primary,
        "synchronous_standby_names": f"ANY 1 ({names})" if site.options.replicas else "",
    }
    data = site.data(f"postgres-{number}")
    lines = ["# Overwritten by `manage.py cluster up`.", *(f"{k} = '{v}'" for k, v in {**PARAMETERS, **own}.items())]
    write_config(data / "cluster.conf", "\n".join(lines) + "\n", site.run_as.owner)
    write_config(data / "pg_hba.conf", "\n".join(ACCESS) + "\n", site.run_as.owner)


def make_primary(site: Site, number: int) -> None:
    """A new database cluster with the relay's database; raises StartupError."""
    fresh = _new_folder(site, number)
    password = site.folder / "initdb-password"
    write_config(password, site.password + "\n", site.run_as.owner)
    try:
        _run(site, [
            "initdb", "-D", str(fresh), "-U", USER, "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8",
            "--locale=C", "-N", "--no-instructions",
        ])  # fmt: skip
    finally:
        password.unlink()
    _run(site, ["postgres", "--single", "-D", str(fresh), "postgres"], f"CREATE DATABASE {DATABASE}\n")
    with (fresh / "postgresql.conf").open("a") as file:
        file.write("\ninclude 'cluster.conf'\n")
    _take_place(site, fresh, number)


def make_replica(site: Site, number: int, primary: int) -> None:
    """A copy of the primary that will follow it; what the server had before is kept as NAME.old. StartupError."""
    fresh = _new_folder(site, number)
    _run(site, [
        "pg_basebackup", "-h", HOST, "-p", str(site.options.postgres_port(primary)), "-U", USER, "-D", str(fresh),
        "--checkpoint=fast", "-X", "stream", "--no-sync",
    ])  # fmt: skip
    write_config(fresh / "standby.signal", "", site.run_as.owner)
    _take_place(site, fresh, number)


def _new_folder(site: Site, number: int) -> Path:
    fresh = site.folder / f"postgres-{number}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    chown_tree(fresh, site.run_as.owner)
    return fresh


def _take_place(site: Site, fresh: Path, number: int) -> None:
    """Only a complete folder gets the server's name: an interrupted start leaves none that is half made."""
    data, old = site.data(f"postgres-{number}"), site.folder / f"postgres-{number}.old"
    if data.exists():
        shutil.rmtree(old, ignore_errors=True)
        data.rename(old)
    fresh.rename(data)


def _run(site: Site, argv: list[str], text: str = "") -> None:
    """One of PostgreSQL's programs; raises StartupError with the last line of its output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    program.run(
        bound_command([str(binaries() / argv[0]), *argv[1:]], run_as=site.run_as.launch),
        argv[0],
        CLONE_SECONDS,
        environment={**kept, "LC_ALL": "C", "PGPASSWORD": site.password, "PGCONNECT_TIMEOUT": "5"},
        text=text,
    )
