"""Starts what does not run, in order, each group when the one before it answers.

Nothing watches the parts afterwards: one that dies stays down until the next `up`, unless its own manager (the
supervisor of an instance, Patroni) starts it again.
"""

import os
import subprocess

from relayproject.runtime.cluster import database, etcd, front, instances, probes, valkey
from relayproject.runtime.cluster.options import Failover, Valkey
from relayproject.runtime.cluster.part import HOST, Kind, Part
from relayproject.runtime.cluster.probes import Answer
from relayproject.runtime.cluster.starter import Starter
from relayproject.runtime.cluster.stop import stop
from relayproject.runtime.errors import StartupError
from relayproject.runtime.valkey import binary

START_SECONDS = 30.0
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
    for part in starter.missing(parts):
        valkey.configure(site, part)
    _start_missing(starter, parts)
    starter.wait(parts, lambda part: _answer(starter, part).role, START_SECONDS)
    if site.options.valkey is Valkey.CLUSTER and not _answer(starter, parts[0]).well:
        _join_cluster(starter)
    starter.wait(parts, lambda part: _is_well(starter, part), START_SECONDS)


def _answer(starter: Starter, part: Part) -> Answer:
    return probes.ask(starter.site, part)


def _join_cluster(starter: Starter) -> None:
    """Make a cluster of the servers that do not know each other yet; raises StartupError."""
    site = starter.site
    members = [
        part for part in valkey.parts(site) if part.kind is Kind.VALKEY and part.port != site.options.broker_port
    ]
    if any((site.data(part.name) / "nodes.conf").read_text().count("\n") > 2 for part in members):
        return  # they know each other, and agree in a moment
    command = [str(binary().with_name("valkey-cli")), "--cluster", "create"]
    command += [f"{HOST}:{part.port}" for part in members]
    command += ["--cluster-replicas", str(len(members) // valkey.MASTERS - 1), "--cluster-yes"]
    environment = {**os.environ, "REDISCLI_AUTH": site.password, "VALKEYCLI_AUTH": site.password}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60.0)
    if done.returncode != 0:
        raise StartupError(f"The Valkey cluster cannot be made: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
