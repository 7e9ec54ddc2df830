"""The base of the commands that print the configuration of a balancer for a list of instances.

Exit codes: 0 done; 2 usage error.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser

from relay.management.command import CommandWithExamples
from replication.balancer import Balance, Balancer, Instance

HELP = {
    "bind": "the public address; default: :443 with a certificate, else :80",
    "certificate": "PEM file with chain and key; default: no TLS",
    "operators_bind": "where the admin, /metrics and the balancer's own page are reached; the public address refuses "
    "them",
    "user": "user and group of HAProxy once its sockets are open; empty: those that start it",
    "stats_socket": "HAProxy's administration socket",
    "connections": "at most, in all; some of them are kept for the operators' address",
    "source_connections": "at most, of an IPv4 address or IPv6 /64; 0: no limit",
    "instance_connections": "at most, to one instance: RELAY_MAX_CONNECTIONS times its workers",
    "tunnel_seconds": "a silent WebSocket is cut after it",
    "requests": "HTTP requests of a source within --rate-seconds; 0: no limit",
    "upgrades": "WebSockets opened by a source within --rate-seconds; 0: no limit",
    "rate_seconds": "the time of both rates",
    "check_seconds": "between two checks of /ready; an instance that failed a client is left out for so long",
    "fall": "failed checks until an instance is down",
    "rise": "good checks until it is up again",
    "slow_start_seconds": "an instance that is up again gets its share over this time",
    "hard_stop_seconds": "after a reload, the old process keeps its connections for so long at most",
}


class BalancerCommand(CommandWithExamples):
    """Prints a configuration; it changes nothing and needs no server.

    `taken`: the fields of Balancer that this program knows, each an option.
    """

    taken: ClassVar[tuple[str, ...]]
    takes_proxy: ClassVar[bool] = True

    def configuration(self, balancer: Balancer, options: dict[str, Any]) -> str:
        """The text. Raises ValueError for what the program does not have."""
        raise NotImplementedError

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
        if self.takes_proxy:
            parser.add_argument(
                "--accept-proxy", action="store_true", help="the public address expects the PROXY protocol"
            )
        for field in fields(Balancer):
            if field.name in self.taken:
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
                accept_proxy=options.get("accept_proxy", False),
                **{name: options[name] for name in self.taken},
            )
            text = self.configuration(balancer, options)
        except (ValueError, OSError) as error:
            raise CommandError(str(error), returncode=2) from None
        self.stdout.write(text, ending="")


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
