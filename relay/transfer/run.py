"""One import from a file: its input, its state file, its progress, and at last its tally."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from relay.conf import Config
from relay.storage.store import Store
from relay.transfer.files import Input
from relay.transfer.importing import ImportFault
from relay.transfer.lines import LineReader
from relay.transfer.progress import Shown
from relay.transfer.session import Options, run_import
from relay.transfer.state import State, StateFault, load, save
from relay.transfer.verifiers import VerifierDied

SAVE_SECONDS = 1.0
"""Between two writes of the state file; after a crash the work of that time, and the lines under way, are repeated."""

FAULTS = (ImportFault, VerifierDied, StateFault)
"""Why an import ends early; each says it in one sentence."""


class ImportRun:
    """`state` is where it stands, from the beginning to the end of `run`."""

    def __init__(self, name: str, path: Path | None, store: Store, conf: Config, *, resume: bool, quiet: bool) -> None:
        """Open the input `name`, and the state file `path`, if there is to be one.

        Raises StateFault, or one of files.FAULTS_OF_INPUT.
        """
        self._path = path
        self._store = store
        self._conf = conf
        self._say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)
        self._stopped = False
        self._state_fault: str | None = None
        self.state = State(f"{store.identity}.{store.epoch}")
        if resume and path is not None:
            self.state = load(path, self.state.store)
        self.lines_before = self.state.tally.total
        self._input = Input(name, lambda: self._stopped)
        self._reader = LineReader(self._input.lines, conf.limits.max_message_length)
        self._shown = Shown("imported", self._input.size, quiet=quiet)
        state = self.state
        if state.offset and not self._reader.skip_to(state.offset, state.line, state.digest):
            raise StateFault(f"the input does not begin with the {state.line:,} lines that were imported before")
        self._began = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the import began."""
        return time.monotonic() - self._began

    def run(self, options: Options) -> bool:
        """Import; True if the input ended, False if it was stopped. Raises one of FAULTS, or KeyboardInterrupt.

        Afterwards there is a state file unless the whole input was imported.
        """
        self._save()
        is_whole = False
        try:
            with self._shown:
                is_whole = asyncio.run(
                    run_import(
                        self._reader,
                        self.state,
                        self._store,
                        self._conf,
                        options,
                        on_progress=self._moved,
                        on_stop=self._stop,
                    )
                )
        finally:
            if is_whole and self._path is not None:
                self._path.unlink(missing_ok=True)
            else:
                self._save()
            self._input.close()
        return is_whole

    def _stop(self) -> None:
        self._stopped = True
        self._say("Stopping: what was submitted is being stored. Ctrl-C again ends at once.")

    def _moved(self, state: State) -> None:
        self._shown.update(state.tally.total, self._input.bytes_read)
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        """Write the state file. An import whose state cannot be kept goes on, and says so once."""
        self._saved = time.monotonic()
        if self._path is None or self._state_fault is not None:
            return
        try:
            save(self._path, self.state)
        except OSError as fault:
            self._state_fault = str(fault)
            self._say(f"--resume will not work, the state file cannot be written ({fault}): name another with --state")
