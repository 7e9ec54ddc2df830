"""`manage.py nginx_config`: the configuration of nginx for a list of instances. See docs/operations/balancer.md."""

from typing import Any

from replication.balancer import Balancer
from replication.management.balancer_command import BalancerCommand
from replication.nginx import configuration

EXAMPLES = """examples:
  manage.py nginx_config relay-1=10.0.0.11:8000 relay-2=10.0.0.12:8000 --certificate /etc/nginx/relay.pem
  manage.py nginx_config --inventory instances.txt --balance source > /etc/nginx/nginx.conf"""


class Command(BalancerCommand):
    """As replication.nginx."""

    help = "Prints the configuration of nginx for a list of instances."
    examples = EXAMPLES
    taken = (
        "bind",
        "certificate",
        "operators_bind",
        "connections",
        "instance_connections",
        "requests",
        "upgrades",
        "rate_seconds",
        "check_seconds",
        "hard_stop_seconds",
    )

    def configuration(self, balancer: Balancer, options: dict[str, Any]) -> str:
        """The text of nginx.conf."""
        return configuration(balancer)
