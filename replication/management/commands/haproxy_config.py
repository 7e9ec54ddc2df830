"""`manage.py haproxy_config`: the configuration of HAProxy for a list of instances. See docs/operations/balancer.md.

Exit codes: 0 done; 2 usage error.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from relay.management.command import CommandWithExamples
from replication.haproxy import Balance, Balancer, Instance, configuration

EXAMPLES = """examples:
  manage.py haproxy_config relay-1=10.0.0.11:8000 relay-2=10.0.0.12:8000 --certificate /etc/haproxy/relay.pem
  manage.py haproxy_config --inventory instances.txt --balance source --bind 0.0.0.0:8080
  manage.py haproxy_config relay-1=10.0.0.11:8000 spare=10.0.1.11:8000,backup | haproxy -c -f /dev/stdin"""

HELP = {
    "bind": "the public address; default: :443 with a certificate, else :80",
    "certificate": "PEM file with chain and key, or a folder of them; default: no TLS",
    "operators_bind": "where the admin, /metrics and HAProxy's own page are reached; the public address refuses them",
    "stats_socket": "HAProxy's administration socket",
    "connections": "at most, of all clients",
    "instance_connections": "at most, to one instance: RELAY_MAX_CONNECTIONS times its workers",
    "tunnel_seconds": "a silent WebSocket is cut after it",
    "requests": "HTTP requests of a source within --rate-seconds; 0: no limit",
    "upgrades": "WebSockets opened by a source within --rate-seconds; 0: no limit",
    "rate_seconds": "the time of both rates",
    "check_seconds": "between two checks of /ready",
    "fall": "failed checks until an instance is down",
    "rise": "good checks until it is up again",
    "slow_start_seconds": "an instance that is up again gets its share over this time",
    "hard_stop_seconds": "after a reload, the old process keeps its connections for so long at most",
}


class Command(CommandWithExamples):
    """Prints a configuration; it changes nothing and needs no server."""

    help = "Prints the configuration of HAProxy for a list of instances."
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the options."""
        parser.add_argument(
            "instances",
            nargs="*",
            metavar="NAME=HOST:PORT",
            help="an instance; `,weight=0` to `256`, `,backup` after it",
        )
        parser.add_argument("--inventory", type=Path, help="a file with an instance in each line; `#` begins a comment")
        parser.add_argument(
            "--balance", choices=list(Balance), default=str(Balance.LEASTCONN), help="default: %(default)s"
        )
        parser.add_argument("--accept-proxy", action="store_true", help="the public address expects the PROXY protocol")
        for field in fields(Balancer):
            if field.name in HELP:
                kind = {"type": _count} if isinstance(field.default, int) else {}
                default = f"; default: {field.default}" if field.default else ""
                option = "--" + field.name.replace("_", "-")
                parser.add_argument(option, default=field.default, help=f"{HELP[field.name]}{default}", **kind)  # type: ignore[arg-type]

    def handle(self, *_args: Any, **options: Any) -> None:
        """Django: print it."""
        try:
            texts = [*options["instances"], *_lines(options["inventory"])]
            balancer = Balancer(
                tuple(Instance.parse(text) for text in texts),
                balance=Balance(options["balance"]),
                accept_proxy=options["accept_proxy"],
                **{name: options[name] for name in HELP},
            )
        except (ValueError, OSError) as error:
            raise CommandError(str(error), returncode=2) from None
        self.stdout.write(configuration(balancer), ending="")


def _lines(inventory: Path | None) -> list[str]:
    """The instances of the file. Raises OSError, ValueError."""
    if inventory is None:
        return []
    lines = [line.partition("#")[0].strip() for line in inventory.read_text("utf-8").splitlines()]
    return [line for line in lines if line]


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value
