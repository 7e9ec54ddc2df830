"""HAProxy's configuration: the whole text of an example, what an option changes, and values that are refused."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.balancer import Balance, Balancer, Instance
from replication.haproxy import configuration

GOLDEN = Path(__file__).with_name("haproxy.cfg")
ONE = (Instance("relay-1", "10.0.0.11", 8000),)
THREE = (*ONE, Instance("relay-2", "10.0.0.12", 8000, weight=50), Instance("spare", "[fd00::3]", 8000, backup=True))


def test_the_configuration_of_three_instances_with_tls_is_the_example() -> None:
    assert configuration(Balancer(THREE, certificate="/etc/haproxy/relay.pem")) == GOLDEN.read_text()


def test_without_a_certificate_there_is_no_tls() -> None:
    text = configuration(Balancer(ONE))
    assert "bind :80\n" in text
    assert " ssl crt " not in text


def test_a_port_alone_is_that_of_ipv4_and_of_ipv6() -> None:
    text = configuration(Balancer(ONE, certificate="/etc/haproxy/relay.pem", operators_bind=":8404"))

    tls = " ssl crt /etc/haproxy/relay.pem alpn h2,http/1.1"
    assert f"    bind :443{tls}\n    bind [::]:443 v6only{tls}\n" in text
    assert "    bind :8404\n    bind [::]:8404 v6only\n" in text


def test_it_is_no_longer_root_once_its_sockets_are_open_unless_it_is_told_so() -> None:
    assert "    user haproxy\n    group haproxy\n" in configuration(Balancer(ONE))
    assert "user" not in configuration(Balancer(ONE, user=""))


def test_a_limit_of_nought_leaves_its_table_and_its_rule_out() -> None:
    text = configuration(Balancer(ONE, requests=0, source_connections=0))
    assert "rate_of_requests" not in text
    assert "conn_cur" not in text
    assert text.count("rate_of_upgrades") == 2


@pytest.mark.parametrize("connections, public", [(100_000, 99_900), (100, 90), (1, 1)])
def test_clients_cannot_take_the_connections_of_the_operators(connections: int, public: int) -> None:
    text = configuration(Balancer(ONE, connections=connections))
    assert re.findall(r"^    maxconn (\d+)$", text, re.M) == [str(connections), str(public)]


def test_source_balance_is_by_a_consistent_hash() -> None:
    assert "balance source\n    hash-type consistent\n" in configuration(Balancer(ONE, balance=Balance.SOURCE))


def test_behind_a_balancer_of_tcp_the_public_address_expects_the_proxy_protocol() -> None:
    text = configuration(Balancer(ONE, accept_proxy=True))
    assert "bind :80 accept-proxy\n" in text
    assert text.count("    tcp-request session ") == 2, "the source is known after its header"


@pytest.mark.parametrize(
    "text, instance",
    [
        ("relay-1=10.0.0.11:8000", ONE[0]),
        ("a=relay.internal:80,backup,weight=7", Instance("a", "relay.internal", 80, 7, True)),
        ("a=[::1]:80", Instance("a", "[::1]", 80)),
    ],
)
def test_an_instance_is_parsed(text: str, instance: Instance) -> None:
    assert Instance.parse(text) == instance


@pytest.mark.parametrize(
    "text",
    ["", "a", "a=b", "a=b:0", "a=b:65536", "a=b:x", "=b:1", "a b=c:1", "a=b:1,weight=257", "a=b:1,spare", "a=::1:80"],
)
def test_what_is_no_instance_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|neither"):
        Instance.parse(text)


@given(st.text(max_size=30))
def test_an_instance_never_adds_a_line_or_a_word(text: str) -> None:
    try:
        instance = Instance.parse(f"a={text}")
    except ValueError:
        return
    assert len(configuration(Balancer((instance,))).splitlines()) == len(configuration(Balancer(ONE)).splitlines())
    assert not set(instance.host) & set(" \t#'\"\\")


@pytest.mark.parametrize(
    "instances, options",
    [
        ((), {}),
        (ONE * 2, {}),
        ((Instance("a", "b", 1, backup=True),), {}),
        (ONE, {"certificate": "relative.pem"}),
        (ONE, {"certificate": "/a b.pem"}),
        (ONE, {"bind": ":80 user root"}),
        (ONE, {"stats_socket": "/run/a\nglobal"}),
        (ONE, {"user": "root\n    chroot /"}),
    ],
)
def test_what_would_be_another_configuration_is_refused(
    instances: tuple[Instance, ...], options: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        Balancer(instances, **options)  # type: ignore[arg-type]
