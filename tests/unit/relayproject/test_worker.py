"""What the settings of a worker make of uvicorn's."""

from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from relay.transport.http_protocol import RelayHTTPProtocol
from relayproject import descriptors, settings
from relayproject.runtime import worker


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `configuration` changes in this process is as before afterwards."""
    monkeypatch.setattr(descriptors, "raise_limit", descriptors.limit)
    for name in ("LARGE_BODIES", "REQUEST_SECONDS", "CONNECTIONS_PER_NETWORK", "EXEMPT"):
        monkeypatch.setattr(RelayHTTPProtocol, name, getattr(RelayHTTPProtocol, name))


async def client_of(proxy: str) -> Any:
    """Whom the application sees as the client of a request that a proxy has forwarded."""
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"])

    middleware: Any = ProxyHeadersMiddleware(application, worker.configuration().forwarded_allow_ips)
    headers = [(b"x-forwarded-for", b"203.0.113.7")]
    await middleware({"type": "http", "client": (proxy, 4_000), "headers": headers}, None, None)
    return seen[0][0]


@pytest.mark.parametrize(
    "trusted, proxy",
    [
        ("10.0.0.5", "10.0.0.5"),
        ("10.0.0.0/8", "10.9.9.9"),
        ("10.0.0.5/8", "10.9.9.9"),
        ("2001:db8::5/64", "2001:db8::9"),
        ("::1", "::1"),
    ],
)
async def test_the_client_of_a_trusted_proxy_is_whom_it_names(
    monkeypatch: pytest.MonkeyPatch, trusted: str, proxy: str
) -> None:
    monkeypatch.setattr(settings, "RELAY_TRUSTED_PROXIES", (trusted,))

    assert await client_of(proxy) == "203.0.113.7"


async def test_another_client_names_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "RELAY_TRUSTED_PROXIES", ("10.0.0.5/32",))

    assert await client_of("10.0.0.6") == "10.0.0.6"
