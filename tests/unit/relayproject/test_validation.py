"""What a setting must be: each rule by the id of its check."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relayproject import env
from relayproject.validation import advice, problems

GOOD: dict[str, Any] = {
    "BROKER_URL": "redis+sentinel://host/0?service=main",
    "REPLICA_URLS": (),
    "LOCAL_MODE": False,
    "RELAY_NAME": "A relay",
    "RELAY_DEFAULT_LIMIT": 5,
    "RELAY_MAX_LIMIT": 5,
    "RELAY_PUBKEY": "a" * 64,
    "RELAY_SELF": "",
    "RELAY_OTHER_URLS": ("wss://old.example.com",),
    "RELAY_TRUSTED_PROXIES": ("10.0.0.0/8", "::1"),
    "RELAY_IP_LIMIT_EXEMPT": (),
    "RELAY_METRICS_ALLOW": ("127.0.0.1",),
    "RELAY_POLICY": "json.loads",
    "RELAY_WRITE_POLICY_PLUGIN": "/bin/sh",
    "RELAY_PRIMARY_POOL_MIN": 5,
    "RELAY_PRIMARY_POOL_MAX": 20,
    "RELAY_REPLICA_POOL_MIN": 10,
    "RELAY_REPLICA_POOL_MAX": 50,
    "RELAY_SLOW_QUERY_CONNECTIONS": 1,
}


def ids(**changed: Any) -> list[str]:
    return [problem.id for problem in problems(SimpleNamespace(**{**GOOD, **changed}))]


@pytest.fixture(autouse=True)
def _no_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "faults", [])


def test_good_settings_have_no_problem() -> None:
    assert ids() == []


@pytest.mark.parametrize(
    "changed, id",
    [
        ({"REPLICA_URLS": ("postgresql://replica",), "LOCAL_MODE": True}, "relay.E002"),
        ({"BROKER_URL": "redis+cluster://host"}, "relay.E017"),
        ({"RELAY_NAME": "n" * 30}, "relay.E003"),
        ({"RELAY_DEFAULT_LIMIT": 6}, "relay.E004"),
        ({"RELAY_PUBKEY": "npub1"}, "relay.E005"),
        ({"RELAY_SELF": "A" * 64}, "relay.E005"),
        ({"RELAY_TRUSTED_PROXIES": ("proxy",)}, "relay.E006"),
        ({"RELAY_OTHER_URLS": ("https://relay.example.com",)}, "relay.E012"),
        ({"RELAY_METRICS_ALLOW": ("everyone",)}, "relay.E006"),
        ({"RELAY_POLICY": "no_such_module.check"}, "relay.E013"),
        ({"RELAY_POLICY": "no_such_package.policy.check"}, "relay.E013"),
        ({"RELAY_POLICY": "check"}, "relay.E013"),
        ({"RELAY_POLICY": "json.no_such_function"}, "relay.E013"),
        ({"RELAY_TRUSTED_PROXIES": ("127.0.0.1", "0.0.0.0/0")}, "relay.E018"),
        ({"RELAY_TRUSTED_PROXIES": ("::/0",)}, "relay.E018"),
        ({"RELAY_TRUSTED_PROXIES": ("2000::/3",)}, "relay.E018"),
        ({"RELAY_TRUSTED_PROXIES": tuple(f"{first}.0.0.0/8" for first in range(256))}, "relay.E018"),
        ({"RELAY_WRITE_POLICY_PLUGIN": "/no/such/program"}, "relay.E014"),
        ({"RELAY_WRITE_POLICY_PLUGIN": __file__}, "relay.E014"),
        ({"RELAY_PRIMARY_POOL_MAX": 4}, "relay.E015"),
        ({"RELAY_REPLICA_POOL_MIN": 51}, "relay.E015"),
        ({"RELAY_SLOW_QUERY_CONNECTIONS": 5}, "relay.E016"),
    ],
)
def test_a_wrong_setting_is_named_by_its_check(changed: dict[str, Any], id: str) -> None:
    assert ids(**changed) == [id]


def test_the_networks_of_a_private_cloud_and_of_a_cdn_may_be_proxies() -> None:
    networks = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "104.16.0.0/13", "fc00::/7", "2a06:98c0::/29")
    assert ids(RELAY_TRUSTED_PROXIES=networks) == []


@pytest.mark.parametrize(
    "source, lack",
    [
        ("def check(event, source): ...", ""),
        ("async def check(event, source): ...", ""),
        ("from elsewhere import decide as check", ""),
        ("try:\n    import fast\nexcept ImportError:\n    check = None", ""),
        ("from elsewhere import *", ""),
        ("def __getattr__(name): ...", ""),
        ("globals()['check'] = print", ""),
        ("def chekc(event, source): ...", "the module 'an_operators_policy' has no 'check'"),
        ("from elsewhere import check as decide", "the module 'an_operators_policy' has no 'check'"),
        ("def check(", "the module 'an_operators_policy' cannot be read: '(' was never closed"),
    ],
)
def test_a_policy_that_is_surely_missing_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, lack: str
) -> None:
    (tmp_path / "an_operators_policy.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    found = list(problems(SimpleNamespace(**{**GOOD, "RELAY_POLICY": "an_operators_policy.check"})))
    assert [problem.id for problem in found] == (["relay.E013"] if lack else [])
    assert all(lack in problem.sentence for problem in found)
    assert "an_operators_policy" not in sys.modules


def test_a_fault_of_the_environment_is_relay_e001_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "faults", [env.Fault("RELAY_PORT", "must be a whole number, not 'x'")])

    (problem,) = problems(SimpleNamespace(**GOOD))

    assert str(problem) == "RELAY_PORT must be a whole number, not 'x'. Correct the environment variable. (relay.E001)"


@pytest.mark.parametrize(
    "is_behind_tls, proxies, advised",
    [(True, ("10.0.0.1",), []), (True, (), ["relay.W001"]), (False, (), ["relay.W002"])],
)
def test_a_public_machine_is_advised(is_behind_tls: bool, proxies: tuple[str, ...], advised: list[str]) -> None:
    settings = SimpleNamespace(BEHIND_TLS=is_behind_tls, RELAY_TRUSTED_PROXIES=proxies, RELAY_MAX_CONNECTIONS=10)

    assert [found.id for found in advice(settings)] == advised


def test_more_connections_than_open_files_are_advised_against() -> None:
    settings = SimpleNamespace(BEHIND_TLS=True, RELAY_TRUSTED_PROXIES=("10.0.0.1",), RELAY_MAX_CONNECTIONS=2**30)

    assert [found.id for found in advice(settings)] == ["relay.W004"]
