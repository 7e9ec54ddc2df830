"""The table of networks against Python's own `in`, for every spelling."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policies.networks import NetworkTable, network_in, written

V4 = st.tuples(st.sampled_from([0x0A000000, 0x0A000100, 0x0A010000]), st.integers(0, 3), st.integers(8, 32)).map(
    lambda found: f"{IPv4Address(found[0] + found[1])}/{found[2]}"
)
V6 = st.tuples(st.sampled_from([0x20010DB8 << 96, 0x20010DB9 << 96]), st.integers(0, 3), st.integers(16, 128)).map(
    lambda found: f"{IPv6Address(found[0] + found[1])}/{found[2]}"
)
HOSTS = st.sampled_from(
    ["10.0.0.0", "10.0.0.2", "10.0.1.1", "10.1.0.3", "2001:db8::1", "2001:db9::3", "::ffff:10.0.0.2"]
)


@given(st.lists(st.tuples(V4 | V6, st.booleans())), HOSTS)
def test_an_address_is_in_the_networks_that_contain_it(changes: list[tuple[str, bool]], host: str) -> None:
    table, naive = NetworkTable(), {}
    for number, (text, is_added) in enumerate(changes):
        network = network_in(text)
        if is_added:
            table.put(network, number)
            naive[network] = number
        else:
            table.remove(network)
            naive.pop(network, None)
    address = ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    expected = [number for network, number in naive.items() if (mapped or address) in network]
    assert sorted(table.values(host)) == sorted(expected)
    assert len(table) == len(naive)


@pytest.mark.parametrize(
    "spelling, form",
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.77/24 ", "192.0.2.0/24"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::5/64", "2001:db8::/64"),
    ],
)
def test_86_8_an_address_in_any_spelling_is_listed_in_one_form(spelling: str, form: str) -> None:
    assert written(network_in(spelling)) == form


@pytest.mark.parametrize("text", ["", "example.com", "192.0.2", "192.0.2.1/33", "unknown"])
def test_another_text_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match=r"IPv4|IPv6|address"):
        network_in(text)


def test_a_client_without_an_address_is_in_no_network() -> None:
    table = NetworkTable()
    table.put(network_in("10.0.0.0/8"), 0)
    assert [table.values(host) for host in ("unix", "unknown", "")] == [[], [], []]
