"""Who may read /metrics."""

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from analytics.views.metrics import may_read

ANYWHERE = "203.0.113.9"


def allowed(address: str = "127.0.0.1", headers: dict[str, str] | None = None, port: int = 40_000) -> bool:
    request = RequestFactory().get("/metrics", headers=headers or {}, REMOTE_ADDR=address, REMOTE_PORT=port)
    return may_read(request)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_read(address: str) -> None:
    assert allowed(address)


@pytest.mark.parametrize("address", [ANYWHERE, "::ffff:203.0.113.9", "", "unix", "127.0.0.1.example.com"])
def test_a_stranger_may_not(address: str) -> None:
    assert not allowed(address)


def test_the_token_opens_from_anywhere(settings: Settings) -> None:
    settings.RELAY_METRICS_TOKEN = "of the operators"

    assert allowed(ANYWHERE, {"Authorization": "Bearer of the operators"})


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong", "Basic of the operators", "of the operators"])
def test_anything_else_than_the_token_does_not(settings: Settings, given: str) -> None:
    settings.RELAY_METRICS_TOKEN = "of the operators"

    assert not allowed(ANYWHERE, {"Authorization": given})


def test_without_a_token_an_empty_one_opens_nothing() -> None:
    assert not allowed(ANYWHERE, {"Authorization": "Bearer "})


def test_a_listed_network_may_read(settings: Settings) -> None:
    settings.RELAY_METRICS_ALLOW = ("203.0.113.0/24",)

    assert allowed(ANYWHERE)
    assert not allowed("127.0.0.1")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_the_address_of_an_unknown_proxy_opens_nothing(header: str) -> None:
    assert not allowed("127.0.0.1", {header: "127.0.0.1"})


def test_the_address_that_a_trusted_proxy_gave_counts() -> None:
    forwarded = {"X-Forwarded-For": "127.0.0.1"}

    assert allowed("127.0.0.1", forwarded, port=0)  # uvicorn has put the client's address in
    assert not allowed(ANYWHERE, forwarded, port=0)
