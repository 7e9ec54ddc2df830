"""The state file of an import: up to where every line has its outcome, in the store.

Rule: it is written only after the outcomes are known, so an import that goes on from it misses no line. Lines between
the state and a crash are submitted again; the store takes each id once.
"""

import os
from pathlib import Path

import msgspec

from relay.transfer.report import Tally


class StateFault(Exception):
    """why an import cannot go on from a state file"""


class State(msgspec.Struct):
    """`offset`, `line`, `digest`: bytes, lines and SHA-256 of the decompressed input that is done.

    `store`: `identity.epoch`.
    """

    store: str
    offset: int = 0
    line: int = 0
    digest: str = ""
    tally: Tally = msgspec.field(default_factory=Tally)


_decode = msgspec.json.Decoder(State).decode


def load(path: Path, store: str) -> State:
    """The state in the file. Raises StateFault if there is none that can be read, or it is of another store."""
    try:
        state = _decode(path.read_bytes())
    except FileNotFoundError:
        raise StateFault(f"there is no state file {path}: start without --resume") from None
    except msgspec.DecodeError as fault:
        raise StateFault(f"the state file {path} cannot be read ({fault}): start without --resume") from None
    if state.store != store:
        raise StateFault(
            f"the state file {path} is of store {state.store}, and this is {store}: start without --resume"
        )
    return state


def save(path: Path, state: State) -> None:
    """Replace the file, so that a crash leaves the old one or the new one. Raises OSError."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
