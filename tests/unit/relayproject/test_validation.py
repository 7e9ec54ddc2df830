"""What a setting must be: each rule by the id of its check."""

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
        ({"RELAY_WRITE_POLICY_PLUGIN": "/no/such/program"}, "relay.E014"),
        ({"RELAY_WRITE_POLICY_PLUGIN": __file__}, "relay.E014"),
        ({"RELAY_PRIMARY_POOL_MAX": 4}, "relay.E015"),
        ({"RELAY_REPLICA_POOL_MIN": 51}, "relay.E015"),
        ({"RELAY_SLOW_QUERY_CONNECTIONS": 5}, "relay.E016"),
    ],
)
def test_a_wrong_setting_is_named_by_its_check(changed: dict[str, Any], id: str) -> None:
    assert ids(**changed) == [id]


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
