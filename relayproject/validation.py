"""Validates the settings, beyond what env.py and its like check. Pure functions over the settings module.

They run without Django, because `serve` validates before it starts anything; checks.py makes Django system checks of
them.
"""

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path
from typing import Any

from relay.protocol.removal import place_of
from relay.redis_url import Topology, parse
from relayproject import descriptors, env

HEX_KEY = re.compile(r"[0-9a-f]{64}")
LONGEST_NAME = 30  # NIP-11: a name SHOULD be less than 30 characters
WIDEST_PROXIES = {4: 8, 6: 7}
"""The shortest prefixes of networks of proxies: 10.0.0.0/8 and fc00::/7, the largest private ones."""
DYNAMIC = frozenset({"__getattr__", "exec", "globals", "setattr", "vars"})
"""A module whose source names one of these may have attributes that cannot be read there."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A wrong setting: the id of its check, a sentence, and what to do about it."""

    id: str
    sentence: str
    hint: str

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint} ({self.id})"


def problems(settings: Any) -> Iterator[Problem]:
    """The errors of the settings (the module or django.conf.settings), invalid variables first."""
    for fault in env.faults:
        yield Problem("relay.E001", f"{fault.name} {fault.problem}.", "Correct the environment variable.")
    for name, meant in env.misspelt():
        if meant:
            yield Problem("relay.E007", f"{name} is no setting.", f"Did you mean {meant}?")
    for rule in RULES:
        yield from rule(settings)


def remarks() -> Iterator[Problem]:
    """The warnings of every start. A variable that resembles no setting may be another program's (Kubernetes')."""
    for name, meant in env.misspelt():
        if not meant:
            yield Problem("relay.W003", f"{name} is no setting and has no effect.", "docs/settings.md lists them all.")


def advice(settings: Any) -> Iterator[Problem]:
    """The warnings of `manage.py check --deploy`: settings that are wrong on a public server."""
    if settings.BEHIND_TLS and not settings.RELAY_TRUSTED_PROXIES:
        yield Problem(
            "relay.W001",
            "RELAY_URL is wss:// and RELAY_TRUSTED_PROXIES is empty: every client seems to have the proxy's address, "
            "so limits by address and lock-outs apply to all clients together.",
            "List the addresses of the proxy that terminates TLS.",
        )
    if not settings.BEHIND_TLS:
        yield Problem(
            "relay.W002",
            "RELAY_URL is not wss://: operators' passwords and sessions are sent unencrypted.",
            "Put a reverse proxy with TLS before the relay and set RELAY_URL to its wss:// address.",
        )
    too_few = descriptors.shortage(settings, descriptors.hard_limit())
    if too_few:
        yield Problem("relay.W004", too_few, "Raise the hard limit (LimitNOFILE, ulimit -Hn) or lower the setting.")


def _replicas(settings: Any) -> Iterator[Problem]:
    if settings.REPLICA_URLS and settings.LOCAL_MODE:
        yield Problem(
            "relay.E002",
            "REPLICA_URLS is set and DATABASE_URL is not: the embedded PostgreSQL has no replicas.",
            "Set DATABASE_URL to the primary, or unset REPLICA_URLS.",
        )


def _broker(settings: Any) -> Iterator[Problem]:
    if settings.BROKER_URL and parse(settings.BROKER_URL).topology is Topology.CLUSTER:
        yield Problem(
            "relay.E017",
            "BROKER_URL, or REDIS_URL in its place, is a Cluster: Celery's library kombu has no transport for one.",
            "Set BROKER_URL to a server of its own, or to Sentinels: redis+sentinel://host:26379/0?service=NAME.",
        )


def _name(settings: Any) -> Iterator[Problem]:
    if len(settings.RELAY_NAME) >= LONGEST_NAME:
        yield Problem(
            "relay.E003",
            f"RELAY_NAME has {len(settings.RELAY_NAME)} characters; NIP-11 wants fewer than {LONGEST_NAME}.",
            "Shorten it and put the rest into RELAY_DESCRIPTION.",
        )


def _limits(settings: Any) -> Iterator[Problem]:
    if settings.RELAY_DEFAULT_LIMIT > settings.RELAY_MAX_LIMIT:
        yield Problem(
            "relay.E004",
            f"RELAY_DEFAULT_LIMIT {settings.RELAY_DEFAULT_LIMIT} exceeds RELAY_MAX_LIMIT {settings.RELAY_MAX_LIMIT}.",
            "Lower RELAY_DEFAULT_LIMIT or raise RELAY_MAX_LIMIT.",
        )


def _pools(settings: Any) -> Iterator[Problem]:
    for name in ("RELAY_PRIMARY_POOL", "RELAY_REPLICA_POOL"):
        least, most = getattr(settings, f"{name}_MIN"), getattr(settings, f"{name}_MAX")
        if least > most:
            yield Problem(
                "relay.E015", f"{name}_MIN {least} exceeds {name}_MAX {most}.", f"Lower {name}_MIN or raise {name}_MAX."
            )
        if least <= settings.RELAY_SLOW_QUERY_CONNECTIONS:
            yield Problem(
                "relay.E016",
                f"RELAY_SLOW_QUERY_CONNECTIONS {settings.RELAY_SLOW_QUERY_CONNECTIONS} leaves none of {name}_MIN "
                f"{least} for quick queries.",
                f"Lower RELAY_SLOW_QUERY_CONNECTIONS or raise {name}_MIN.",
            )


def _keys(settings: Any) -> Iterator[Problem]:
    for name in ("RELAY_PUBKEY", "RELAY_SELF"):
        value = getattr(settings, name)
        if value and not HEX_KEY.fullmatch(value):
            yield Problem(
                "relay.E005",
                f"{name} must be a public key: 64 lower-case hex digits.",
                "An npub is taken as well.",
            )


def _addresses(settings: Any) -> Iterator[Problem]:
    for url in settings.RELAY_OTHER_URLS:
        if place_of(url) is None:
            yield Problem(
                "relay.E012",
                f"RELAY_OTHER_URLS must list addresses of this relay, and {url!r} is none.",
                "Write them like wss://relay.example.com.",
            )


def _networks(settings: Any) -> Iterator[Problem]:
    for name in ("RELAY_TRUSTED_PROXIES", "RELAY_IP_LIMIT_EXEMPT", "RELAY_METRICS_ALLOW"):
        for word in getattr(settings, name):
            try:
                ip_network(word, strict=False)
            except ValueError:
                yield Problem(
                    "relay.E006",
                    f"{name} must list IP addresses or networks, and {word!r} is neither.",
                    "Write them like 10.0.0.0/8,::1.",
                )


def _proxies(settings: Any) -> Iterator[Problem]:
    named = [_network(word) for word in settings.RELAY_TRUSTED_PROXIES]
    networks: list[IPv4Network | IPv6Network] = [
        *collapse_addresses(one for one in named if isinstance(one, IPv4Network)),
        *collapse_addresses(one for one in named if isinstance(one, IPv6Network)),
    ]
    for network in networks:
        if network.prefixlen < WIDEST_PROXIES[network.version]:
            yield Problem(
                "relay.E018",
                f"RELAY_TRUSTED_PROXIES trusts {network}, which are more addresses than proxies have: every client "
                "there could name another address as its own in X-Forwarded-For, and no limit or block by address "
                "would hold.",
                "List the addresses of your proxies alone, such as 10.0.0.5 or 10.0.0.0/8.",
            )


def _network(word: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(word, strict=False)
    except ValueError:
        return None


def _policy(settings: Any) -> Iterator[Problem]:
    # Found and read, not imported: what it imports has no place in the supervisor.
    module, _, function = settings.RELAY_POLICY.rpartition(".")
    if settings.RELAY_POLICY and (lack := _lack(module, function)):
        yield Problem(
            "relay.E013",
            f"RELAY_POLICY must be the dotted path of a function, and {lack}.",
            "Write it like mypolicy.check, with the folder of mypolicy.py in PYTHONPATH.",
        )
    program = settings.RELAY_WRITE_POLICY_PLUGIN
    if program.startswith("/") and " " not in program and not os.access(program, os.X_OK):
        yield Problem(
            "relay.E014",
            f"RELAY_WRITE_POLICY_PLUGIN names {program!r}, which is no program that can be run.",
            "Without its verdicts every event would be refused. Is it there, and executable?",
        )


def _lack(module: str, name: str) -> str:
    """What is not there, in words; "" if the module is, and its source may have the name."""
    try:
        spec = find_spec(module) if module else None
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return f"there is no module {module or '(no dot)'!r}"
    if not (spec.origin or "").endswith(".py"):
        return ""
    try:
        tree = ast.parse(Path(str(spec.origin)).read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        return f"the module {module!r} cannot be read: {error}"
    names = set(_names(tree))
    return "" if name in names or names & {*DYNAMIC, "*"} else f"the module {module!r} has no {name!r}"


def _names(tree: ast.Module) -> Iterator[str]:
    """The names that a source binds at any depth, and those of DYNAMIC that it uses; "*" for a starred import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
        elif isinstance(node, ast.Name) and (isinstance(node.ctx, ast.Store) or node.id in DYNAMIC):
            yield node.id


RULES = (_replicas, _broker, _name, _limits, _pools, _keys, _addresses, _networks, _proxies, _policy)
