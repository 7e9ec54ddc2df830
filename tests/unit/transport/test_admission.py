"""Which connections a worker keeps, compared with a count of a plain list."""

from collections import Counter
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.transport.admission import UNKNOWN, Admission, address_of, is_in, network_of

EXEMPT = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
HOSTS = [
    None,
    "203.0.113.5",
    "203.0.113.6",
    "::ffff:203.0.113.5",
    "2001:db8::1",
    "2001:db8::2",
    "::1",
    "::2",
    "127.0.0.1",
    "unknown",
    "_hidden",
]


@pytest.mark.parametrize(
    "host, network",
    [
        ("203.0.113.5", "203.0.113.5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("unknown", UNKNOWN),
        ("_hidden", UNKNOWN),
        ("203.0.113.5:80", UNKNOWN),
        ("unix", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_one_network_is_one_client(host: str, network: str) -> None:
    assert network_of(host) == network


@pytest.mark.parametrize(
    "host, exempt",
    [
        ("::1", True),
        ("::2", False),
        ("::ffff:127.0.0.1", True),
        ("127.9.9.9", True),
        ("2001:db8::1", False),
        ("unknown", False),
        ("fe80::1%eth0", False),
    ],
)
def test_an_address_is_exempt_and_not_its_whole_network(host: str, exempt: bool) -> None:
    assert is_in(host, EXEMPT) is exempt


@given(st.lists(st.tuples(st.sampled_from(HOSTS), st.booleans()), max_size=60))
def test_no_network_but_the_exempt_ones_has_more_than_its_limit(steps: list[tuple[str | None, bool]]) -> None:
    admission = Admission(10, 2, EXEMPT)
    inside: list[str] = []
    for host, enters in steps:
        if not enters:
            if inside:
                admission.leave(inside.pop(0))
            continue
        network = admission.enter(host)
        expected = "" if host is None else network_of(host)
        free = host in (None, "127.0.0.1", "::1") or Counter(inside)[expected] < 2
        assert network == (expected if free else None)
        if network is not None:
            inside.append(network)
        assert admission.open == len(inside)
        assert admission.is_full == (len(inside) > 10)
    for network in inside:
        admission.leave(network)
    assert admission == Admission(10, 2, EXEMPT)


@pytest.mark.parametrize(
    "host, address",
    [(None, "unix"), ("unix", "unknown"), ("", "unknown"), ("203.0.113.5", "203.0.113.5"), ("_hidden", "_hidden")],
)
def test_no_forwarded_address_passes_for_a_unix_socket(host: str | None, address: str) -> None:
    assert address_of(host) == address
