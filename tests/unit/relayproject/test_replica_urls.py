"""REPLICA_URLS: what is read from it, and what is refused."""

import pytest

from relayproject import env, env_urls
from relayproject.env_urls import Replica


@pytest.fixture(autouse=True)
def _no_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "faults", [])


def replicas(monkeypatch: pytest.MonkeyPatch, text: str) -> tuple[Replica, ...]:
    monkeypatch.setenv("REPLICA_URLS", text)
    return env_urls.replicas("REPLICA_URLS")


def test_each_url_is_a_replica_with_a_weight_and_a_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "postgresql://u:p@db2/relay?zone=a&sslmode=require, postgres://db3/relay?weight=3"
    assert replicas(monkeypatch, text) == (
        Replica("replica_1", "postgresql://u:p@db2/relay?sslmode=require", 1, "a"),
        Replica("replica_2", "postgres://db3/relay", 3, ""),
    )
    assert env.faults == []


def test_a_socket_is_named_by_a_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = replicas(monkeypatch, "postgresql://relay@/relay?host=%2Frun%2Fpg&port=5433")
    assert found.url == "postgresql://relay@/relay?host=%2Frun%2Fpg&port=5433"


@pytest.mark.parametrize(
    "text, problem",
    [
        ("db2", "number 1 does not"),
        ("postgresql://db2/relay,mysql://db3/relay", "number 2 does not"),
        ("postgresql://u:a[db2]c@host/relay", "number 1 is no URL"),
        ("postgresql://db2/relay?weight=0", "has a weight of '0'"),
        ("postgresql://db2/relay?weight=many", "has a weight of 'many'"),
    ],
)
def test_another_text_is_a_fault_that_does_not_tell_the_password(
    monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    assert replicas(monkeypatch, text) == ()
    (fault,) = env.faults
    assert problem in fault.problem
    assert "db2" not in fault.problem


def test_the_page_of_the_settings_hides_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    from analytics.effective_settings import shown

    text = shown(
        "REPLICA_URLS", replicas(monkeypatch, "postgresql://u:secret@db2/relay,postgresql://u:other@db3/relay")
    )
    assert "secret" not in text
    assert "other" not in text
