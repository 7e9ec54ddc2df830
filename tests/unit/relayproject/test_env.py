"""The typed readers: a wrong text is a fault and the default, never an exception."""

from collections.abc import Callable
from pathlib import Path

import pytest

from relayproject import env


@pytest.fixture(autouse=True)
def faults(monkeypatch: pytest.MonkeyPatch) -> list[env.Fault]:
    fresh: list[env.Fault] = []
    monkeypatch.setattr(env, "faults", fresh)
    return fresh


@pytest.mark.parametrize(
    "read, text, value",
    [
        (lambda: env.integer("X", 5), "7", 7),
        (lambda: env.integer("X", 5), " ", 5),
        (lambda: env.seconds("X", 1.0), "0.5", 0.5),
        (lambda: env.flag("X", False), "Yes", True),
        (lambda: env.flag("X", True), "off", False),
        (lambda: env.words("X"), "a, b,,c ", ("a", "b", "c")),
        (lambda: env.choice("X", "a", ("a", "b")), "b", "b"),
        (lambda: env.folder("X", Path("/d")), "/some/where", Path("/some/where")),
        (lambda: env.web_address("X", "", ("redis",)), "redis://h:1/2", "redis://h:1/2"),
        (lambda: env.web_address("X", "", ("unix",)), "unix:///run/v.sock", "unix:///run/v.sock"),
    ],
)
def test_a_right_text_becomes_its_value(
    monkeypatch: pytest.MonkeyPatch, faults: list[env.Fault], read: Callable[[], object], text: str, value: object
) -> None:
    monkeypatch.setenv("X", text)

    assert read() == value
    assert faults == []


@pytest.mark.parametrize(
    "read, text, default, problem",
    [
        (lambda: env.integer("X", 5), "many", 5, "must be a whole number, not 'many'"),
        (lambda: env.integer("X", 5, low=1, high=9), "10", 5, "must be from 1 to 9, not 10"),
        (lambda: env.seconds("X", 1.0), "soon", 1.0, "must be a number of seconds, not 'soon'"),
        (lambda: env.seconds("X", 1.0), "nan", 1.0, "must be from 0 to 86400 seconds, not nan"),
        (lambda: env.flag("X", True), "maybe", True, "must be true or false, not 'maybe'"),
        (lambda: env.choice("X", "a", ("a", "b")), "c", "a", "must be one of a, b, not 'c'"),
        (lambda: env.web_address("X", "", ("ws", "wss")), "http://h", "", "must be a URL that starts with ws:// or wss://"),
        (lambda: env.web_address("X", "", ("ws",)), "ws://host:port", "", "must be a URL that starts with ws://"),
        (lambda: env.web_address("X", "", ("ws",)), "ws://[", "", "must be a URL that starts with ws://"),
    ],
)  # fmt: skip
def test_a_wrong_text_is_a_fault_and_gives_the_default(
    monkeypatch: pytest.MonkeyPatch,
    faults: list[env.Fault],
    read: Callable[[], object],
    text: str,
    default: object,
    problem: str,
) -> None:
    monkeypatch.setenv("X", text)

    assert read() == default
    assert faults == [env.Fault("X", problem)]
