"""Networks in a table by their prefix length: a look-up costs one hash for each length in use. Pure."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

WIDEST = {4: 8, 6: 16}
"""The shortest prefix that may be blocked, by IP version: a shorter one is a slip that locks out a continent."""

_MAPPED = IPv6Network("::ffff:0:0/96")


def network_in(text: str) -> Network:
    """The network that an operator means by an address or a network in any spelling; IPv4 in IPv6 becomes IPv4.

    Raises ValueError for another text.
    """
    network = ip_network(text.strip().strip("[]"), strict=False)
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.subnet_of(_MAPPED):
        address = int(network.network_address) & 0xFFFFFFFF
        return IPv4Network((address, network.prefixlen - 96))
    return network


def written(network: Network) -> str:
    """The one form in which it is listed: an address alone without its prefix length."""
    return str(network.network_address if network.num_addresses == 1 else network)


class NetworkTable:
    """Networks with a value each."""

    def __init__(self) -> None:
        self._by_prefix: dict[tuple[int, int], dict[int, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_prefix.values()))

    def put(self, network: Network, value: int) -> None:
        """Add a network, or replace its value."""
        self._by_prefix.setdefault((network.version, network.prefixlen), {})[_bits(network)] = value

    def remove(self, network: Network) -> None:
        """Remove a network; no error if it is not there."""
        place = (network.version, network.prefixlen)
        found = self._by_prefix.get(place)
        if found is not None:
            found.pop(_bits(network), None)
            if not found:
                del self._by_prefix[place]

    def values(self, host: str) -> list[int]:
        """The values of all networks that contain the address `host`; none for a text that is no address."""
        if not self._by_prefix:
            return []
        try:
            address = ip_address(host)
        except ValueError:
            return []
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        number, version, width = int(address), address.version, address.max_prefixlen
        return [
            found[number >> (width - length)]
            for (of, length), found in self._by_prefix.items()
            if of == version and number >> (width - length) in found
        ]


def _bits(network: Network) -> int:
    return int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
