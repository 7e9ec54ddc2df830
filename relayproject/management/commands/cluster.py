"""`manage.py cluster`: a whole relay platform on this machine. See docs/operations/cluster.md.

Exit codes: 0 done, and of `status` and `up`: all is well; 1 refused or failed, of `status`: some part is not well;
2 usage error; 3, of `status`: nothing runs; 130 stopped with Ctrl-C, and what was started is stopped again.
"""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from relay.management.command import CommandWithExamples
from relayproject.runtime.cluster.cluster import Cluster
from relayproject.runtime.cluster.options import (
    DEFAULT_BASE_PORT,
    MOST_INSTANCES,
    MOST_REPLICAS,
    PORTS,
    Failover,
    Options,
    Valkey,
)
from relayproject.runtime.cluster.status import Status
from relayproject.runtime.cluster.table import table
from relayproject.runtime.errors import StartupError

EXAMPLES = """examples:
  manage.py cluster up                        # three instances, a primary and two replicas, what else is installed
  manage.py cluster up --instances 5 --valkey sentinel --folder /srv/try --base-port 20000
  manage.py cluster status --json
  manage.py cluster kill patroni-1 postgres-1 # a lost machine
  manage.py cluster pause relay-2/worker-1
  manage.py cluster promote postgres-2
  manage.py cluster down"""

NAMED = {
    "kill": "end parts by SIGKILL; the next `up` starts them again",
    "pause": "stop parts by SIGSTOP: connections stay open and nothing answers",
    "resume": "let paused parts go on",
}


class Command(CommandWithExamples):
    """The command; its help is in `help`."""

    help = (
        "Runs a whole relay platform on this machine: PostgreSQL with replicas, Valkey, instances, HAProxy, Prometheus."
    )
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the actions and their options."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for name, text in _ACTIONS.items():
            action = actions.add_parser(name, help=text, description=text)
            action.add_argument("--folder", type=Path, help="the cluster's folder (default: cluster in RELAY_DATA_DIR)")
            if name in NAMED:
                action.add_argument("names", nargs="+", metavar="NAME", help="as in `status`")
        _add_up(actions.choices["up"])
        actions.choices["status"].add_argument("--json", action="store_true", help="as JSON")
        promote = actions.choices["promote"]
        promote.add_argument("name", nargs="?", metavar="NAME", help="the new primary (default: the best replica)")
        promote.add_argument("--force", action="store_true", help="although acknowledged events may be lost")

    def handle(self, *_args: object, **options: Any) -> None:
        """Django: run the action."""
        folder = options["folder"] or Path(settings.RELAY_DATA_DIR, "cluster")
        cluster = Cluster(folder.absolute(), self._say)
        try:
            getattr(self, f"_{options['action']}")(cluster, options)
        except StartupError as refusal:
            raise CommandError(str(refusal)) from refusal

    def _say(self, line: str) -> None:
        self.stderr.write(line, style_func=str)
        self.stderr.flush()

    def _up(self, cluster: Cluster, options: dict[str, Any]) -> None:
        given = {name: options[name] for name in Options.__struct_fields__ if options[name] is not None}
        signal.signal(signal.SIGTERM, _interrupt)
        self._show(cluster.up(given), options)

    def _status(self, cluster: Cluster, options: dict[str, Any]) -> None:
        self._show(cluster.status(), options)

    def _show(self, found: Status, options: dict[str, Any]) -> None:
        text = msgspec.json.encode(found).decode() + "\n" if options.get("json") else table(found)
        self.stdout.write(text, ending="")
        if found.exit_code:
            sys.exit(found.exit_code)

    def _kill(self, cluster: Cluster, options: dict[str, Any]) -> None:
        cluster.kill(options["names"])

    def _pause(self, cluster: Cluster, options: dict[str, Any]) -> None:
        cluster.pause(options["names"])

    def _resume(self, cluster: Cluster, options: dict[str, Any]) -> None:
        cluster.resume(options["names"])

    def _promote(self, cluster: Cluster, options: dict[str, Any]) -> None:
        cluster.promote(options["name"], force=options["force"])

    def _down(self, cluster: Cluster, _options: dict[str, Any]) -> None:
        cluster.down()


_ACTIONS = {
    "up": "start what does not run, and return when all is well",
    "status": "role, process, address, state, lag and log of each part",
    **NAMED,
    "promote": "make a replica of PostgreSQL the primary",
    "down": "stop everything in order; the data stays",
}


def _add_up(parser: CommandParser) -> None:
    parser.add_argument("--instances", type=int, help=f"relay instances, 1 to {MOST_INSTANCES} (default: 3)")
    parser.add_argument("--replicas", type=int, help=f"of PostgreSQL, 0 to {MOST_REPLICAS} (default: 2)")
    parser.add_argument("--workers", type=int, help="relay workers of each instance (default: 1)")
    parser.add_argument("--valkey", choices=list(Valkey), help="default: one")
    parser.add_argument("--failover", choices=list(Failover), help="default: patroni where it and etcd are installed")
    parser.add_argument(
        "--base-port", type=int, help=f"the first of {PORTS} ports on 127.0.0.1 (default: {DEFAULT_BASE_PORT})"
    )
    for name in ("haproxy", "prometheus"):
        parser.add_argument(
            f"--no-{name}", action="store_const", const=False, dest=name, help=f"without {name}, though installed"
        )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
