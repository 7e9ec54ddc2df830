"""`manage.py caddy_config`: the configuration of Caddy for a list of instances. See docs/operations/balancer.md."""

from typing import Any

from django.core.management.base import CommandParser

from replication.balancer import Balancer
from replication.caddy import configuration
from replication.management.balancer_command import BalancerCommand

EXAMPLES = """examples:
  manage.py caddy_config relay-1=127.0.0.1:8000 --site relay.example.org > /etc/caddy/Caddyfile
  manage.py caddy_config relay-1=10.0.0.11:8000 relay-2=10.0.0.12:8000 --bind :8080"""


class Command(BalancerCommand):
    """As replication.caddy."""

    help = "Prints the configuration of Caddy for a list of instances."
    examples = EXAMPLES
    taken = ("bind", "certificate", "operators_bind", "check_seconds")
    takes_proxy = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the options."""
        super().add_arguments(parser)
        parser.add_argument("--site", default="", help="the public host name; Caddy gets its certificate by itself")

    def configuration(self, balancer: Balancer, options: dict[str, Any]) -> str:
        """The text of a Caddyfile."""
        return configuration(balancer, options["site"])
