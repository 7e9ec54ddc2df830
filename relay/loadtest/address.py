"""The relay's address: whether it is valid, and whether it is on this machine.

Rule: a load test may take down what it is pointed at, so it leaves this machine only when it is told to.
"""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit


class AddressError(ValueError):
    """An address that is not used; the text is one sentence for the operator."""


def check_address(url: str, *, allow_remote: bool) -> str:
    """The URL as it is. Raises AddressError when it is no ws:// or wss:// URL, or remote without `allow_remote`."""
    host = _split(url).hostname or ""
    if not allow_remote and not is_loopback(host):
        raise AddressError(
            f"{host} is not this machine: a load test needs --allow-remote to work against another one, "
            "and the consent of its operator"
        )
    return url


def is_loopback(host: str) -> bool:
    """True for localhost and for the loopback addresses of IPv4 and IPv6. Other names are not looked up."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a broken IPv6 address, a port that is no number
        right = False
    if not right or not url.isprintable() or " " in url:
        raise AddressError(f"{url!r} is not the address of a relay: it must be a URL such as ws://127.0.0.1:8000")
    return parts
