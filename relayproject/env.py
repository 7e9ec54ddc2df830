"""Parses environment variables into values of plain types; env_urls, env_nostr and env_regions know further ones.

An invalid value does not raise, because settings must load for `manage.py check` to report every fault at once: it is
appended to `faults`, gives the default, and is reported as relay.E001.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

SECRET_CHARACTERS = 32
SECRET_DIFFERENT = 5  # as Django's security.W009
RESEMBLANCE = 0.85  # RELAY_MAX_LIMITS and RELAY_MAX_LIMIT: 0.97; RELAY_SERVICE_PORT and RELAY_PORT: 0.71
INTERNAL = frozenset(
    {
        *("RELAY_SUPERVISED", "RELAY_HEARTBEAT_FD", "RELAY_ACK_TABLE", "RELAY_WORKER", "RELAY_PROCESS"),
        *("RELAY_LISTENERS", "RELAY_HANDOVER"),
    }
)
"""What the supervisor tells its children."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An invalid variable: `problem` continues a sentence that begins with `name`."""

    name: str
    problem: str


faults: list[Fault] = []

defaults: dict[str, object] = {}
"""Every variable that the settings read, in their order, with its default (for the page of the settings)."""


def fault(name: str, problem: str) -> None:
    """Note an invalid variable; `problem` as in Fault."""
    faults.append(Fault(name, problem))


def text(name: str, default: str = "") -> str:
    """The variable's text; `default` when it is unset or empty."""
    defaults.setdefault(name, default)
    return os.environ.get(name, "").strip() or default


def integer(name: str, default: int, *, low: int = 0, high: int = 2**63 - 1) -> int:
    """An integer from `low` to `high`."""
    defaults.setdefault(name, default)
    raw = text(name)
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        fault(name, f"must be a whole number, not {raw!r}")
        return default
    if not low <= value <= high:
        fault(name, f"must be from {low} to {high}, not {value}")
        return default
    return value


def seconds(name: str, default: float, *, low: float = 0.0, high: float = 86_400.0) -> float:
    """A duration in seconds from `low` to `high`, fractions allowed."""
    defaults.setdefault(name, default)
    raw = text(name)
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        fault(name, f"must be a number of seconds, not {raw!r}")
        return default
    if not low <= value <= high:
        fault(name, f"must be from {low:g} to {high:g} seconds, not {raw}")
        return default
    return value


def flag(name: str, default: bool) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off."""
    defaults.setdefault(name, default)
    raw = text(name).lower()
    if not raw:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    fault(name, f"must be true or false, not {raw!r}")
    return default


def words(name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A list separated by commas; empty entries are dropped."""
    defaults.setdefault(name, default)
    raw = text(name)
    return tuple(word.strip() for word in raw.split(",") if word.strip()) if raw else default


def folder(name: str, default: Path) -> Path:
    """An absolute path; a relative one starts at the working directory."""
    defaults.setdefault(name, default)
    return Path(text(name, str(default))).expanduser().absolute()


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of `allowed`."""
    defaults.setdefault(name, default)
    value = text(name, default)
    if value not in allowed:
        fault(name, f"must be one of {', '.join(allowed)}, not {value!r}")
        return default
    return value


def matching(name: str, pattern: re.Pattern[str], described: str) -> str:
    """A text that `pattern` matches whole; "" when it is unset. `described` completes "must be"."""
    value = text(name)
    if value and not pattern.fullmatch(value):
        fault(name, f"must be {described}, not {value!r}")
        return ""
    return value


def secret(name: str) -> str:
    """A key that cannot be guessed: 32 characters or more, not all alike. "" when unset."""
    value = text(name)
    if value and (len(value) < SECRET_CHARACTERS or len(set(value)) < SECRET_DIFFERENT):
        fault(name, f"can be guessed: it must have {SECRET_CHARACTERS} random characters or more, better 50")
    return value


def misspelt(prefix: str = "RELAY_") -> Iterator[tuple[str, str]]:
    """Variables that begin with `prefix` and nothing reads: the name, and the known one that it resembles or ""."""
    for name in sorted(os.environ):
        if name.startswith(prefix) and name not in defaults and name not in INTERNAL:
            yield name, next(iter(get_close_matches(name, defaults, n=1, cutoff=RESEMBLANCE)), "")
