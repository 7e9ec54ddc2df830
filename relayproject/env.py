"""Parses environment variables into typed values.

An invalid value does not raise, because settings must load for `manage.py check` to report every fault at once: it is
appended to `faults`, gives the default, and is reported as relay.E001.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """An invalid variable: `problem` continues a sentence that begins with `name`."""

    name: str
    problem: str


faults: list[Fault] = []


def text(name: str, default: str = "") -> str:
    """The variable's text; `default` when it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def integer(name: str, default: int, *, low: int = 0, high: int = 2**63 - 1) -> int:
    """An integer from `low` to `high`."""
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
    """A duration in seconds from `low` to `high`, fractions allowed."""
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
    """True for 1, true, yes, on; False for 0, false, no, off."""
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
    """A list separated by commas; empty entries are dropped."""
    raw = text(name)
    return tuple(word.strip() for word in raw.split(",") if word.strip()) if raw else default


def folder(name: str, default: Path) -> Path:
    """An absolute path; a relative one starts at the working directory."""
    return Path(text(name, str(default))).expanduser().absolute()


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of `allowed`."""
    value = text(name, default)
    if value not in allowed:
        faults.append(Fault(name, f"must be one of {', '.join(allowed)}, not {value!r}"))
        return default
    return value


def cache_address(name: str, default: str) -> str:
    """The URL of the shared cache (relay.caching.redis_url): one server, Sentinel or Cluster."""
    from relay.caching.redis_url import parse

    value = text(name, default)
    try:
        if value:
            parse(value)
    except ValueError as error:
        faults.append(Fault(name, f"cannot be used: {error}"))
        return default
    return value


def web_address(name: str, default: str, schemes: tuple[str, ...]) -> str:
    """A URL with one of `schemes` and a host."""
    from urllib.parse import urlsplit

    value = text(name, default)
    if not value:
        return value
    try:
        parts = urlsplit(value)
        right = parts.scheme in schemes and bool(parts.netloc or parts.path.strip("/")) and parts.port != 0
    except ValueError:  # an invalid IPv6 address or port
        right = False
    if not right:
        faults.append(Fault(name, f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}"))
        return default
    return value
