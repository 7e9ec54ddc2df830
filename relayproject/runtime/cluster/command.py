"""The command line of `manage.py cluster`, without Django so that it starts fast.

Exit codes: 0 done, and of `status` and `up`: all is well; 1 refused or failed, of `status`: some part is not well;
2 usage error; 3, of `status`: nothing runs; 130 stopped with Ctrl-C, and what was started is stopped again.
"""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec

from relayproject.runtime.cluster import state
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

DESCRIPTION = (
    "Runs a whole relay platform on this machine: PostgreSQL with replicas, Valkey, instances, HAProxy, Prometheus. "
    "For exercises, tests and failure drills: docs/operations/cluster.md."
)
EPILOG = """\
examples:
  manage.py cluster up                        # three instances, a primary and two replicas, what else is installed
  manage.py cluster up --instances 5 --valkey sentinel --folder /srv/try --base-port 20000
  manage.py cluster status --json
  manage.py cluster kill patroni-1 postgres-1 # a lost machine
  manage.py cluster pause relay-2/worker-1
  manage.py cluster promote postgres-2
  eval "$(manage.py cluster env)" && manage.py cache stats
  manage.py cluster down
"""
ACTIONS = {
    "up": "start what does not run, and return when all is well",
    "status": "role, process, address, state, lag and log of each part",
    "kill": "end parts by SIGKILL; the next `up` starts them again",
    "pause": "stop parts by SIGSTOP: connections stay open and nothing answers",
    "resume": "let paused parts go on",
    "promote": "make a replica of PostgreSQL the primary",
    "roll": "replace the processes of one instance after the other, without refusing a connection",
    "env": 'print relay-1\'s settings for a shell, so that other commands reach the cluster: eval "$(... env)"',
    "down": "stop everything in order; the data stays",
}
NAMED = frozenset({"kill", "pause", "resume"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add actions and options to a parser."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--folder", type=Path, help="the cluster's folder (default: cluster in RELAY_DATA_DIR)")
        if name in NAMED:
            action.add_argument("names", nargs="+", metavar="NAME", help="as in `status`")
        if name in {"up", "status"}:
            action.add_argument("--json", action="store_true", help="print JSON")
    _add_up(actions.choices["up"])
    promote = actions.choices["promote"]
    promote.add_argument("name", nargs="?", metavar="NAME", help="the new primary (default: the best replica)")
    promote.add_argument("--force", action="store_true", help="although acknowledged events may be lost")


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--instances", type=int, help=f"relay instances, 1 to {MOST_INSTANCES} (default: 3)")
    parser.add_argument("--replicas", type=int, help=f"of PostgreSQL, 0 to {MOST_REPLICAS} (default: 2)")
    parser.add_argument("--workers", type=int, help="relay workers of each instance (default: 1)")
    parser.add_argument("--valkey", choices=[str(one) for one in Valkey], help="default: one")
    parser.add_argument(
        "--failover", choices=[str(one) for one in Failover], help="default: patroni where it and etcd are installed"
    )
    parser.add_argument(
        "--base-port", type=int, help=f"the first of {PORTS} ports on 127.0.0.1 (default: {DEFAULT_BASE_PORT})"
    )
    for name in ("haproxy", "prometheus"):
        parser.add_argument(
            f"--no-{name}", action="store_const", const=False, dest=name, help=f"without {name}, though installed"
        )


def run(arguments: argparse.Namespace) -> int:
    """Run the action and return the exit code. StartupError: its sentence on standard error and 1."""
    from relayproject import settings

    folder = arguments.folder or folder_of(Path(settings.RELAY_DATA_DIR))
    try:
        return _RUN[arguments.action](Cluster(folder.absolute(), _say), arguments)
    except StartupError as refusal:
        _say(f"cluster: {refusal}")
        return 1
    except BrokenPipeError:
        raise  # of standard output: manage.py knows
    except OSError as error:  # a full disk, no process or descriptor to be had
        _say(f"cluster: {error}")
        return 1


def folder_of(data_dir: Path) -> Path:
    """The cluster's folder: also in a shell that has the settings of `env`, where RELAY_DATA_DIR is relay-1's."""
    return data_dir.parent if state.file_of(data_dir.parent).exists() else data_dir / "cluster"


def main(words: list[str]) -> int:
    """`manage.py cluster ARGUMENT...`; returns the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relayproject.settings")
    parser = argparse.ArgumentParser(prog="manage.py cluster", description=DESCRIPTION)
    add_arguments(parser)
    return run(parser.parse_args(words))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _up(cluster: Cluster, arguments: argparse.Namespace) -> int:
    values = vars(arguments)
    given = {name: values[name] for name in Options.__struct_fields__ if values.get(name) is not None}
    signal.signal(signal.SIGTERM, _interrupt)
    return _show(cluster.up(given), arguments)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _status(cluster: Cluster, arguments: argparse.Namespace) -> int:
    return _show(cluster.status(), arguments)


def _show(found: Status, arguments: argparse.Namespace) -> int:
    text = msgspec.json.encode(found).decode() + "\n" if arguments.json else table(found)
    sys.stdout.write(text)
    return found.exit_code


def _kill(cluster: Cluster, arguments: argparse.Namespace) -> int:
    cluster.kill(arguments.names)
    return 0


def _pause(cluster: Cluster, arguments: argparse.Namespace) -> int:
    cluster.pause(arguments.names)
    return 0


def _resume(cluster: Cluster, arguments: argparse.Namespace) -> int:
    cluster.resume(arguments.names)
    return 0


def _promote(cluster: Cluster, arguments: argparse.Namespace) -> int:
    cluster.promote(arguments.name, force=arguments.force)
    return 0


def _roll(cluster: Cluster, _arguments: argparse.Namespace) -> int:
    cluster.roll()
    return 0


def _env(cluster: Cluster, _arguments: argparse.Namespace) -> int:
    for name, value in cluster.settings().items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


def _down(cluster: Cluster, _arguments: argparse.Namespace) -> int:
    cluster.down()
    return 0


_RUN: dict[str, Callable[[Cluster, argparse.Namespace], int]] = {
    "up": _up,
    "status": _status,
    "kill": _kill,
    "pause": _pause,
    "resume": _resume,
    "promote": _promote,
    "roll": _roll,
    "env": _env,
    "down": _down,
}
