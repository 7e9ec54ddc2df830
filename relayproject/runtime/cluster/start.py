"""Starts what does not run, in order, each group when the one before it answers.

Nothing watches the parts afterwards: one that dies stays down until the next `up`, unless its own manager (the
supervisor of an instance, Patroni) starts it again.
"""

import os

from relayproject.runtime.cluster import database, etcd, front, instances, probes, program, valkey
from relayproject.runtime.cluster.options import Failover, Valkey
from relayproject.runtime.cluster.part import Part
from relayproject.runtime.cluster.starter import Starter
from relayproject.runtime.cluster.state import save
from relayproject.runtime.cluster.stop import stop
from relayproject.runtime.valkey import binary

START_SECONDS = 30.0
JOIN_SECONDS = 60.0
INSTANCE_SECONDS = 120.0


def start_all(starter: Starter) -> None:
    """Start everything and wait until it is well; raises StartupError."""
    site = starter.site
    starter.resume_paused()
    if site.options.failover is Failover.PATRONI:
        _start_group(starter, [etcd.part(site, number) for number in range(1, etcd.MEMBERS + 1)])
        database.start_patroni(starter)
    else:
        database.start_plain(starter)
    database.ensure_database(site)
    _start_valkey(starter)
    front.configure(site)
    others = [front.haproxy(site)] if site.options.haproxy else []
    others += [front.prometheus(site)] if site.options.prometheus else []
    relays = [instances.part(site, number) for number in range(1, site.options.instances + 1)]
    _stop_changed(starter, [*relays, *others])
    _start_missing(starter, [*relays, *others])
    starter.wait(relays, lambda part: _is_well(starter, part), INSTANCE_SECONDS)
    starter.wait(others, lambda part: _is_well(starter, part), START_SECONDS)


def _stop_changed(starter: Starter, parts: list[Part]) -> None:
    """Stop those that run with another command or other settings than they would be started with."""
    running = starter.state.running
    changed = [
        part.name
        for part in parts
        if part.name in running
        and (running[part.name].argv, running[part.name].settings) != (part.argv, dict(part.settings))
    ]
    stop(starter.site, starter.state, changed, starter.say)


def _is_well(starter: Starter, part: Part) -> bool:
    return probes.ask(starter.site, part).well


def _start_missing(starter: Starter, parts: list[Part]) -> None:
    missing = starter.missing(parts)
    if missing:
        starter.say(f"starting {', '.join(part.name for part in missing)}")
    for part in missing:
        starter.start(part)


def _start_group(starter: Starter, parts: list[Part]) -> None:
    _start_missing(starter, parts)
    starter.wait(parts, lambda part: _is_well(starter, part), START_SECONDS)


def _start_valkey(starter: Starter) -> None:
    site = starter.site
    parts = valkey.parts(site)
    missing = starter.missing(parts)
    if not starter.state.joined and len(missing) == len(parts):
        valkey.forget_members(site)
    for part in missing:
        valkey.configure(site, part)
    _start_missing(starter, parts)
    starter.wait(parts, lambda part: probes.ask(site, part).role, START_SECONDS)
    if site.options.valkey is Valkey.CLUSTER and not starter.state.joined:
        _join_cluster(starter)
    starter.wait(parts, lambda part: _is_well(starter, part), START_SECONDS)


def _join_cluster(starter: Starter) -> None:
    """Make a cluster of the servers, which do not know each other yet; raises StartupError."""
    site = starter.site
    members = [part.address for part in valkey.members(site)]
    program.run(
        [
            *(str(binary().with_name("valkey-cli")), "--cluster", "create", *members),
            *("--cluster-replicas", str(len(members) // valkey.MASTERS - 1), "--cluster-yes"),
        ],
        "The making of the Valkey cluster",
        JOIN_SECONDS,
        environment={**os.environ, "REDISCLI_AUTH": site.password, "VALKEYCLI_AUTH": site.password},
    )
    starter.state.joined = True
    save(site.folder, starter.state)
