"""Relay instances: `manage.py serve`, the first with all roles, the others with `web`."""

import sys
from pathlib import Path

from relayproject.runtime.cluster import program, valkey
from relayproject.runtime.cluster.detached import environment
from relayproject.runtime.cluster.part import HOST, Kind, Part
from relayproject.runtime.cluster.site import Site

ROLL_SECONDS = 300.0
START_SECONDS = 30.0
MANAGE = Path(__file__).resolve().parents[3] / "manage.py"


def part(site: Site, number: int) -> Part:
    """relay-`number`."""
    name = f"relay-{number}"
    roles = () if number == 1 else ("--roles", "web")
    return Part(
        name=name,
        kind=Kind.RELAY,
        argv=(sys.executable, str(MANAGE), "serve", *roles),
        folder=site.data(name),
        log=site.log(name),
        port=site.options.instance_port(number),
        settings=settings(site, number),
    )


def roll(part: Part) -> None:
    """`manage.py roll` for one instance; raises StartupError with its last line."""
    program.run(
        [sys.executable, str(MANAGE), "roll", "--seconds", str(ROLL_SECONDS)],
        f"The roll of {part.name}",
        ROLL_SECONDS + START_SECONDS,
        environment=environment(part.settings),
    )


def settings(site: Site, number: int) -> dict[str, str]:
    """The variables of relay-`number`."""
    found = {
        "RELAY_DATA_DIR": str(site.data(f"relay-{number}")),
        "RELAY_INSTANCE": f"relay-{number}",
        "RELAY_HOST": HOST,
        "RELAY_PORT": str(site.options.instance_port(number)),
        "RELAY_WORKERS": str(site.options.workers),
        "RELAY_URL": site.options.url,
        "RELAY_TRUSTED_PROXIES": HOST,
        "SECRET_KEY": site.secret_key,
        "DATABASE_URL": site.database_url,
        **valkey.addresses(site),
    }
    if site.replica_urls:
        found["REPLICA_URLS"] = site.replica_urls
    return found
