"""Caddy's configuration: the whole text of an example, what an option changes, and what Caddy does not have."""

from pathlib import Path

import pytest

from replication.balancer import Balance, Balancer, Instance
from replication.caddy import configuration

GOLDEN = Path(__file__).with_name("Caddyfile")
ONE = (Instance("relay-1", "10.0.0.11", 8000),)
TWO = (*ONE, Instance("relay-2", "[fd00::2]", 8000))


def test_the_configuration_of_a_site_with_two_instances_is_the_example() -> None:
    assert configuration(Balancer(TWO), "relay.example.org") == GOLDEN.read_text()


@pytest.mark.parametrize(
    "options, site, address",
    [
        ({}, "", "http://:80 {\n\t#"),
        ({"bind": "10.0.0.1:8080"}, "", "http://:8080 {\n\tbind 10.0.0.1\n"),
        ({"certificate": "/a.pem"}, "", "https://:443 {\n\ttls /a.pem /a.pem\n"),
        ({"bind": "[fd00::1]:8443"}, "relay.example.org", "relay.example.org:8443 {\n\tbind fd00::1\n"),
    ],
)
def test_the_public_address_is_the_one_that_is_given(options: dict[str, str], site: str, address: str) -> None:
    assert f"\n{address}" in configuration(Balancer(ONE, **options), site)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options, site, scheme",
    [({}, "", "http"), ({}, "relay.example.org", "https"), ({"certificate": "/a"}, "", "https")],
)
def test_the_relay_is_told_what_clients_use(options: dict[str, str], site: str, scheme: str) -> None:
    assert f"X-Forwarded-Proto {scheme}\n" in configuration(Balancer(ONE, **options), site)  # type: ignore[arg-type]


def test_source_balance_is_by_a_hash_of_the_address() -> None:
    assert "lb_policy ip_hash\n" in configuration(Balancer(ONE, balance=Balance.SOURCE))


@pytest.mark.parametrize(
    "balancer, site",
    [
        (Balancer((*ONE, Instance("spare", "a", 1, backup=True))), ""),
        (Balancer((Instance("a", "a", 1, weight=50),)), ""),
        (Balancer(ONE, accept_proxy=True), ""),
        (Balancer(ONE), "relay.example.org { respond }"),
        (Balancer(ONE), "localhost"),
    ],
)
def test_what_caddy_does_not_have_or_would_misread_is_refused(balancer: Balancer, site: str) -> None:
    with pytest.raises(ValueError, match=r"Caddy|host name"):
        configuration(balancer, site)
