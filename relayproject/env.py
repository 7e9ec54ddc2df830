"""Typed readers of the environment: the only place where a setting's text becomes a value.

A wrong value does not raise where it is read: settings must load so that `manage.py check` can name
every fault at once. It is noted in `faults`, and the system check `relay.E001` reports it.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """A variable whose text cannot be used: `name`, and `problem` as the end of a sentence."""

    name: str
    problem: str


faults: list[Fault] = []


def text(name: str, default: str = "") -> str:
    """The variable's text, or `default` when it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def integer(name: str, default: int, *, low: int = 0, high: int = 2**63 - 1) -> int:
    """A whole number from `low` to `high`; a wrong text is noted as a fault and gives `default`."""
    raw = text(name)
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        faults.append(Fault(name, f"must be a whole number, not {raw!r}"))
        return default
    if not low <= value <= high:
        faults.append(Fault(name, f"must be from {low} to {high}, not {value}"))
        return default
    return value


def seconds(name: str, default: float, *, low: float = 0.0, high: float = 86_400.0) -> float:
    """A duration in seconds, fractions allowed; a wrong text is noted as a fault and gives `default`."""
    raw = text(name)
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        faults.append(Fault(name, f"must be a number of seconds, not {raw!r}"))
        return default
    if not low <= value <= high:
        faults.append(Fault(name, f"must be from {low:g} to {high:g} seconds, not {raw}"))
        return default
    return value


def flag(name: str, default: bool) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off; anything else is a fault."""
    raw = text(name).lower()
    if not raw:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    faults.append(Fault(name, f"must be true or false, not {raw!r}"))
    return default


def words(name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A list separated by commas, without its empty entries."""
    raw = text(name)
    return tuple(word.strip() for word in raw.split(",") if word.strip()) if raw else default


def folder(name: str, default: Path) -> Path:
    """An absolute path; a relative one is taken from the working directory."""
    return Path(text(name, str(default))).expanduser().absolute()


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of `allowed`; anything else is noted as a fault and gives `default`."""
    value = text(name, default)
    if value not in allowed:
        faults.append(Fault(name, f"must be one of {', '.join(allowed)}, not {value!r}"))
        return default
    return value


def cache_address(name: str, default: str) -> str:
    """The URL of the shared cache (relay.caching.address): one server, Sentinel or Cluster; else a fault."""
    from relay.caching.address import parse

    value = text(name, default)
    try:
        if value:
            parse(value)
    except ValueError as error:
        faults.append(Fault(name, f"cannot be used: {error}"))
        return default
    return value


def web_address(name: str, default: str, schemes: tuple[str, ...]) -> str:
    """A URL with one of `schemes` and a host; anything else is noted as a fault and gives `default`."""
    from urllib.parse import urlsplit

    value = text(name, default)
    if not value:
        return value
    try:
        parts = urlsplit(value)
        right = parts.scheme in schemes and bool(parts.netloc or parts.path.strip("/")) and parts.port != 0
    except ValueError:  # a broken IPv6 address, a port that is no number
        right = False
    if not right:
        faults.append(Fault(name, f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}"))
        return default
    return value
