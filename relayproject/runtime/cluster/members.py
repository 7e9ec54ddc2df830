"""The parts that a cluster has, and the processes behind a name.

Names: those of the parts; `postgres-2` is also the server under patroni-2; `relay-1/worker-1`, `relay-1/jobs` and
`relay-1/beat` are processes that the supervisor of relay-1 started, and starts again.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from relayproject.runtime.cluster import etcd, front, instances, patroni, postgres, valkey
from relayproject.runtime.cluster.detached import Process, children, identify, is_alive, tree
from relayproject.runtime.cluster.options import Failover
from relayproject.runtime.cluster.part import Kind, Part
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.state import State
from relayproject.runtime.errors import StartupError
from relayproject.runtime.processes import living_in


def started(site: Site) -> list[Part]:
    """The parts that `up` starts, in order."""
    options = site.options
    servers = range(1, options.servers + 1)
    found: list[Part] = []
    if options.failover is Failover.PATRONI:
        found += [etcd.part(site, number) for number in range(1, etcd.MEMBERS + 1)]
        found += [patroni.part(site, number) for number in servers]
    else:
        found += [postgres.part(site, number) for number in servers]
    found += valkey.parts(site)
    found += [instances.part(site, number) for number in range(1, options.instances + 1)]
    if options.haproxy:
        found.append(front.haproxy(site))
    if options.prometheus:
        found.append(front.prometheus(site))
    return found


def shown(site: Site) -> list[Part]:
    """Those that have a state of their own: PostgreSQL under Patroni as well."""
    found = started(site)
    if site.options.failover is Failover.PATRONI:
        last = max(at for at, part in enumerate(found) if part.kind is Kind.PATRONI)
        servers = [postgres.part(site, number) for number in range(1, site.options.servers + 1)]
        found[last + 1 : last + 1] = servers
    return found


def main_process(site: Site, state: State, name: str) -> Process | None:
    """The living process of a part, the postmaster of PostgreSQL; None when it is down."""
    noted = state.running.get(name)
    if noted is not None:
        return noted.process if is_alive(noted.process) else None
    if name in site.postgres_names:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((site.data(name) / "postmaster.pid").read_text().split()[0])
            if pid in living_in(site.data(name), "postgres"):
                return identify(pid)
    return None


def processes(site: Site, state: State, name: str) -> list[Process]:
    """What a signal to this name goes to, the first to be ended first. Raises StartupError for an unknown name.

    PostgreSQL under Patroni is no child of it, and is a name of its own: a lost machine is both.
    """
    part, _, inner = name.partition("/")
    if part not in {one.name for one in shown(site)}:
        names = ", ".join(one.name for one in shown(site))
        raise StartupError(f"There is no part {name}: {names}, or relay-1/worker-1, relay-1/jobs, relay-1/beat.")
    main = main_process(site, state, part)
    if inner:
        return [one for found, process in inner_processes(main) if found == inner for one in tree(process)]
    if part in site.postgres_names:
        first = [main] if main else []
        others = map(identify, living_in(site.data(part), "postgres"))
        return first + [one for one in others if one and one != main]
    if part.startswith("patroni-"):
        return [main] if main else []
    return list(tree(main)) if main else []


def inner_processes(supervisor: Process | None) -> Iterator[tuple[str, Process]]:
    """Names and processes that an instance's supervisor has started: `worker-1`, `jobs`, `beat`."""
    for child in children(supervisor.pid) if supervisor else ():
        with contextlib.suppress(OSError):
            for variable in Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0"):
                key, _, value = variable.partition(b"=")
                if key == b"RELAY_PROCESS":
                    yield value.decode(), child
