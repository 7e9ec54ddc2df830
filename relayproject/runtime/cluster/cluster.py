"""What the commands do, each under the folder's lock where it changes something."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from relayproject.runtime.cluster import detached, front, instances, members, patroni, promotion, signals, status
from relayproject.runtime.cluster.detached import Process
from relayproject.runtime.cluster.options import Failover, Options
from relayproject.runtime.cluster.part import Part
from relayproject.runtime.cluster.say import Say
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.start import start_all
from relayproject.runtime.cluster.starter import Starter, refuse_used_port
from relayproject.runtime.cluster.state import State, load, locked, new_state, save
from relayproject.runtime.cluster.stop import stop
from relayproject.runtime.errors import StartupError
from relayproject.runtime.run_as import choose_run_as

MAY_CHANGE = ("instances", "workers")
"""Options that a later `up` may change."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster in `folder`; `say` takes a line of progress, `launch` starts a part's process."""

    folder: Path
    say: Say
    launch: Callable[[Part], Process] = detached.start

    def up(self, given: dict[str, object]) -> status.Status:
        """Start what does not run; `given`: options beside the noted ones. Raises StartupError.

        Whatever ends the start early, Ctrl-C too, stops what this start has begun.
        """
        with locked(self.folder):
            state = load(self.folder)
            if state is None:
                state = self._new(_options(given))
                self._say_what_is_left_out(state.options, given)
            else:
                state = self._changed(state, given)
            starter = Starter(_site(self.folder, state), state, self.say, self.launch)
            try:
                start_all(starter)
            except BaseException:
                self._take_back(starter)
                raise
            return status.status(starter.site, state)

    def _new(self, options: Options) -> State:
        """The note of a new cluster, written before anything is made with its passwords. Raises StartupError, with
        nothing written, when a port is taken: the options of a cluster that is noted cannot change.
        """
        state = new_state(options)
        site = _site(self.folder, state)
        if (left := next(filter(Path.exists, map(site.data, site.postgres_names)), None)) is not None:
            raise StartupError(
                f"{left} is of a cluster whose cluster.json is gone: move it, or choose another --folder."
            )
        for part in members.shown(site):
            refuse_used_port(part, "choose another --base-port, or end what listens there")
        save(self.folder, state)
        return state

    def _say_what_is_left_out(self, options: Options, given: dict[str, object]) -> None:
        """What a new cluster is without because it is not installed, and the command that installs it."""
        if options.failover is Failover.PLAIN and "failover" not in given:
            self.say(f"without Patroni, which is not installed: only `cluster promote` fails over ({patroni.INSTALL})")
        lacking = [name for name in ("haproxy", "prometheus") if not getattr(options, name) and name not in given]
        if lacking:
            self.say(f"without {' and '.join(lacking)}: not installed ({front.INSTALL})")

    def _changed(self, state: State, given: dict[str, object]) -> State:
        """The noted state with other options; what is no part any more is stopped."""
        before = _site(self.folder, state)
        state.options = _with(state.options, given)
        kept = {part.name for part in members.shown(_site(self.folder, state))}
        stop(before, state, [part.name for part in members.shown(before) if part.name not in kept], self.say)
        return state

    def _take_back(self, starter: Starter) -> None:
        began = [*starter.began, *(name.replace("patroni", "postgres") for name in starter.began)]
        if began:
            self.say("taking back what was started")
            stop(starter.site, starter.state, began, self.say)

    def down(self) -> None:
        """Stop everything in order; the data stays."""
        with locked(self.folder):
            site, state = self._opened()
            stop(site, state, [part.name for part in members.shown(site)], self.say)

    def status(self) -> status.Status:
        """Ask every part."""
        return status.status(*self._opened())

    def kill(self, names: Sequence[str]) -> None:
        """SIGKILL."""
        signals.kill(*self._opened(), names)

    def pause(self, names: Sequence[str]) -> None:
        """SIGSTOP."""
        signals.pause(*self._opened(), names)

    def resume(self, names: Sequence[str]) -> None:
        """SIGCONT."""
        signals.resume(*self._opened(), names)

    def promote(self, name: str | None, *, force: bool = False) -> str:
        """Make a replica the primary; returns its name."""
        with locked(self.folder):
            site, state = self._opened()
            return promotion.promote(site, state, name, self.say, force=force)

    def roll(self) -> None:
        """Replace the processes of one instance after the other, without refusing a connection."""
        with locked(self.folder):
            site, state = self._opened()
            for number in range(1, site.options.instances + 1):
                part = instances.part(site, number)
                if members.main_process(site, state, part.name) is None:
                    raise StartupError(f"{part.name} is down: `cluster up` starts it.")
                self.say(f"rolling {part.name}")
                instances.roll(part)

    def settings(self) -> dict[str, str]:
        """The variables of relay-1: addresses and secrets."""
        site, _ = self._opened()
        return instances.settings(site, 1)

    def _opened(self) -> tuple[Site, State]:
        state = load(self.folder)
        if state is None:
            raise StartupError(f"There is no cluster in {self.folder}: `manage.py cluster up` makes one.")
        return _site(self.folder, state), state


def _site(folder: Path, state: State) -> Site:
    return Site(folder, state.options, state.secret_key, state.password, choose_run_as())


def _options(given: dict[str, object]) -> Options:
    """Of a new cluster: what is installed is used. Raises StartupError."""
    found: dict[str, object] = {
        "failover": Failover.PATRONI if patroni.is_installed() else Failover.PLAIN,
        "haproxy": front.has_haproxy(),
        "prometheus": front.has_prometheus(),
        **given,
    }
    options = _checked(found)
    if options.failover is Failover.PATRONI and not patroni.is_installed():
        raise StartupError(f"Patroni or etcd is not installed: {patroni.INSTALL}; or --failover plain.")
    return options


def _with(options: Options, given: dict[str, object]) -> Options:
    """The noted options with those that may change; raises StartupError for others."""
    noted = msgspec.to_builtins(options)
    refused = [name for name, value in given.items() if name not in MAY_CHANGE and noted[name] != value]
    if refused:
        raise StartupError(
            f"The cluster was made with {_written(refused[0], noted[refused[0]])}: choose another --folder."
        )
    return _checked({**noted, **given})


def _written(name: str, value: object) -> str:
    """An option as `up` has it."""
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--no-{option}" if not value else option
    return f"--{option} {value}"


def _checked(values: dict[str, object]) -> Options:
    try:
        return msgspec.convert(values, Options)
    except msgspec.ValidationError as error:
        raise StartupError(f"The options are not right: {error}.") from error
