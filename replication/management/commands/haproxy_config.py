"""`manage.py haproxy_config`: the configuration of HAProxy for a list of instances. See docs/operations/balancer.md."""

from typing import Any

from replication.balancer import Balancer
from replication.haproxy import configuration
from replication.management.balancer_command import HELP, BalancerCommand

EXAMPLES = """examples:
  manage.py haproxy_config relay-1=10.0.0.11:8000 relay-2=10.0.0.12:8000 --certificate /etc/haproxy/relay.pem
  manage.py haproxy_config --inventory instances.txt --balance source --bind 0.0.0.0:8080
  manage.py haproxy_config relay-1=10.0.0.11:8000 spare=10.0.1.11:8000,backup | haproxy -c -f /dev/stdin"""


class Command(BalancerCommand):
    """As replication.haproxy."""

    help = "Prints the configuration of HAProxy for a list of instances."
    examples = EXAMPLES
    taken = tuple(HELP)

    def configuration(self, balancer: Balancer, options: dict[str, Any]) -> str:
        """The text of haproxy.cfg."""
        return configuration(balancer)
