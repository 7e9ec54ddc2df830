"""The Redis-compatible server: one Valkey, three under three Sentinels, or a cluster of three masters with replicas.

Nothing in it needs to survive, so nothing is saved. The files hold the password, which a command line would show.
"""

import re

from relayproject.runtime.cluster.options import Valkey
from relayproject.runtime.cluster.part import HOST, Kind, Part
from relayproject.runtime.cluster.site import Site, write_config
from relayproject.runtime.valkey import MAXIMUM_MEMORY, SUBSCRIBER_BUFFER, binary

SERVERS = {Valkey.ONE: 1, Valkey.SENTINEL: 3, Valkey.CLUSTER: 6}
SENTINELS = 3
QUORUM = 2
MASTERS = 3
SERVICE = "relay"
DOWN_AFTER_MILLISECONDS = 2_000
FAILOVER_MILLISECONDS = 10_000
"""Not less: with 3,000 a Sentinel failed over twice, which lost acknowledged writes."""

NODE_MILLISECONDS = 2_000
NODES = "nodes.conf"
"""Where a server notes the others."""

SERVER = f"""\
# Overwritten by `manage.py cluster up`.
bind {HOST}
port {{port}}
save ""
appendonly no
maxmemory {MAXIMUM_MEMORY}
maxmemory-policy volatile-lru
client-output-buffer-limit {" ".join(SUBSCRIBER_BUFFER)}
repl-diskless-sync-delay 0
requirepass {{password}}
masterauth {{password}}
"""

SENTINEL = f"""\
bind {HOST}
port {{port}}
sentinel monitor {SERVICE} {HOST} {{master}} {QUORUM}
sentinel auth-pass {SERVICE} {{password}}
sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MILLISECONDS}
sentinel failover-timeout {SERVICE} {FAILOVER_MILLISECONDS}
"""


def parts(site: Site) -> list[Part]:
    """Servers and Sentinels."""
    options = site.options
    found = [
        _part(site, f"valkey-{number}", Kind.VALKEY, options.valkey_port(number))
        for number in range(1, SERVERS[options.valkey] + 1)
    ]
    if options.valkey is Valkey.CLUSTER:
        found.append(_part(site, "valkey-broker", Kind.VALKEY, options.broker_port))
    if options.valkey is Valkey.SENTINEL:
        found += [
            _part(site, f"sentinel-{number}", Kind.SENTINEL, options.sentinel_port(number))
            for number in range(1, SENTINELS + 1)
        ]
    return found


def members(site: Site) -> list[Part]:
    """The servers of a Valkey cluster."""
    return [part for part in parts(site) if part.kind is Kind.VALKEY and part.port != site.options.broker_port]


def forget_members(site: Site) -> None:
    """Have no server know others any more: a cluster that was half made would have masters without replicas."""
    for part in parts(site):
        (part.folder / NODES).unlink(missing_ok=True)


def _part(site: Site, name: str, kind: Kind, port: int) -> Part:
    file = str(site.data(name) / "valkey.conf")
    mode = ("--sentinel",) if kind is Kind.SENTINEL else ()
    return Part(name, kind, (str(binary()), file, *mode), site.data(name), site.log(name), port)


def configure(site: Site, part: Part) -> None:
    """Write the part's file. A Sentinel's is written once: it notes there who is the master."""
    path = site.data(part.name) / "valkey.conf"
    if part.kind is Kind.SENTINEL:
        if not path.exists():
            master = site.options.valkey_port(1)
            text = SENTINEL.format(port=part.port, master=master, password=site.password)
            write_config(path, text, site.run_as.owner)
        return
    text = SERVER.format(port=part.port, password=site.password)
    if site.options.valkey is Valkey.SENTINEL and part.port != master_port(site):
        text += f"replicaof {HOST} {master_port(site)}\n"
    if site.options.valkey is Valkey.CLUSTER and part.port != site.options.broker_port:
        bus = site.options.valkey_bus_port(part.port - site.options.valkey_port(0))
        text += f"cluster-enabled yes\ncluster-config-file {NODES}\ncluster-port {bus}\n"
        text += f"cluster-node-timeout {NODE_MILLISECONDS}\n"
    write_config(path, text, site.run_as.owner)


def master_port(site: Site) -> int:
    """The master's that the Sentinels last agreed on. Another one that starts as a master would take writes to lose."""
    newest, port = -1, site.options.valkey_port(1)
    for number in range(1, SENTINELS + 1):
        path = site.data(f"sentinel-{number}") / "valkey.conf"
        text = path.read_text() if path.exists() else ""
        named = re.search(rf"^sentinel monitor {SERVICE} \S+ (\d+)", text, re.MULTILINE)
        epoch = re.search(rf"^sentinel config-epoch {SERVICE} (\d+)", text, re.MULTILINE)
        if named and epoch and int(epoch[1]) > newest:
            newest, port = int(epoch[1]), int(named[1])
    return port


def addresses(site: Site) -> dict[str, str]:
    """REDIS_URL, and BROKER_URL where Celery needs a server of its own."""
    options = site.options
    login = f":{site.password}@"
    if options.valkey is Valkey.ONE:
        return {"REDIS_URL": f"redis://{login}{HOST}:{options.valkey_port(1)}/0"}
    if options.valkey is Valkey.SENTINEL:
        hosts = ",".join(f"{HOST}:{options.sentinel_port(number)}" for number in range(1, SENTINELS + 1))
        return {"REDIS_URL": f"redis+sentinel://{login}{hosts}/0?service={SERVICE}"}
    hosts = ",".join(f"{HOST}:{options.valkey_port(number)}" for number in range(1, SERVERS[options.valkey] + 1))
    return {
        "REDIS_URL": f"redis+cluster://{login}{hosts}/",
        "BROKER_URL": f"redis://{login}{HOST}:{options.broker_port}/0",
    }
