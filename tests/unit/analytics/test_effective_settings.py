"""What the page of the settings shows, and what it hides."""

import re
from pathlib import Path

import pytest

from analytics.effective_settings import HIDDEN, effective_settings, shown
from relayproject import env

ROOT = Path(__file__).resolve().parents[3]
READ = re.compile(r'\benv(?:_[a-z]+)?\.[a-z_]+\(\s*"([A-Z_]+)"')


def test_every_setting_of_the_environment_is_listed() -> None:
    read = set(READ.findall((ROOT / "relayproject/settings.py").read_text()))

    assert read == {one.name for one in effective_settings()} == set(env.defaults)


def test_every_setting_has_a_section_of_the_document() -> None:
    assert [one.name for one in effective_settings() if one.section == "Other"] == []


@pytest.mark.parametrize(
    "name, value",
    [
        ("SECRET_KEY", "hush"),
        ("RELAY_METRICS_TOKEN", "hush"),
        ("RELAY_SOME_PASSWORD", "hush"),
        ("DATABASE_URL", "postgresql://user:hush@host/name"),
        ("DATABASE_URL", "postgresql://user:hu/s@hush@host/name"),
        ("DATABASE_URL", "postgresql://host/name?password=hush"),
        ("CACHE_URL", "redis+sentinel://:hush@one,two/name"),
    ],
)
def test_no_secret_is_shown(name: str, value: str) -> None:
    assert "hush" not in shown(name, value)
    assert HIDDEN in shown(name, value)


def test_values_are_shown_as_in_the_environment() -> None:
    assert shown("DEBUG", False) == "false"
    assert shown("ALLOWED_HOSTS", ["a.example", "b.example"]) == "a.example, b.example"
    assert shown("RELAY_URL", "wss://relay.example.com") == "wss://relay.example.com"
    assert shown("RELAY_METRICS_TOKEN", "") == ""


def test_a_variable_in_the_environment_is_named_as_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_NAME", "Mine")
    monkeypatch.delenv("RELAY_ICON", raising=False)
    source = {one.name: one.source for one in effective_settings()}

    assert (source["RELAY_NAME"], source["RELAY_ICON"]) == ("environment", "default")
