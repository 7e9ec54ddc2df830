"""nginx's configuration: the whole text of an example, what an option changes, and what nginx does not have."""

import re
from pathlib import Path

import pytest

from replication.balancer import Balance, Balancer, Instance
from replication.nginx import configuration
from replication.wire import CONTENT_BYTES

GOLDEN = Path(__file__).with_name("nginx.conf")
ONE = (Instance("relay-1", "10.0.0.11", 8000),)
THREE = (*ONE, Instance("relay-2", "10.0.0.12", 8000, weight=50), Instance("spare", "[fd00::3]", 8000, backup=True))


def test_the_configuration_of_three_instances_with_tls_is_the_example() -> None:
    assert configuration(Balancer(THREE, certificate="/etc/nginx/relay.pem")) == GOLDEN.read_text()


def test_without_a_certificate_there_is_no_tls() -> None:
    text = configuration(Balancer(ONE))
    assert "listen 80;\n        listen [::]:80;\n" in text
    assert "ssl" not in text


def test_a_limit_of_nought_leaves_its_zone_and_its_rule_out() -> None:
    text = configuration(Balancer(ONE, requests=0))
    assert "zone=request" not in text
    assert text.count("zone=upgrade") == 3


@pytest.mark.parametrize("path", ["/replicate-of-mine", "/replicate/", "/replicate/other", "/replicate\n", "/replicat"])
def test_no_path_but_those_for_peers_is_without_the_limit_of_requests(path: str) -> None:
    found = re.search(r"location ~ (\S+) \{", configuration(Balancer(ONE)))
    assert found is not None
    without_limit = re.compile(found[1].replace(r"\z", r"\Z"))
    assert all(without_limit.match(of_peers) for of_peers in CONTENT_BYTES)
    assert not without_limit.match(path)


def test_source_balance_is_by_a_consistent_hash_of_the_network() -> None:
    assert "hash $source consistent;" in configuration(Balancer(ONE, balance=Balance.SOURCE))


def test_an_instance_without_weight_gets_no_clients() -> None:
    assert "server 10.0.0.11:8000 down " in configuration(Balancer((Instance("relay-1", "10.0.0.11", 8000, weight=0),)))


def test_behind_a_balancer_of_tcp_the_client_is_who_the_proxy_protocol_says() -> None:
    text = configuration(Balancer(ONE, accept_proxy=True))
    assert "listen 80 proxy_protocol;\n" in text
    assert "real_ip_header proxy_protocol;\n" in text


def test_a_backup_with_a_balance_by_source_is_refused() -> None:
    with pytest.raises(ValueError, match="no backups"):
        configuration(Balancer(THREE, balance=Balance.SOURCE))


@pytest.mark.parametrize("address", ["10.0.0.1:80; user root", "{}", "a;b"])
def test_an_address_never_adds_a_directive(address: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        Balancer(ONE, bind=address)
