"""The address that a start prints: one that a browser on this machine opens."""

import pytest

from relayproject import settings
from relayproject.runtime.address import web_address


@pytest.mark.parametrize(
    ("host", "printed"),
    [
        ("127.0.0.1", "ws://127.0.0.1:7777"),
        ("0.0.0.0", "ws://127.0.0.1:7777"),
        ("*", "ws://127.0.0.1:7777"),
        ("::", "ws://[::1]:7777"),
        ("::1", "ws://[::1]:7777"),
        ("relay.example.com", "ws://relay.example.com:7777"),
    ],
)
def test_an_address_that_means_many_is_printed_as_the_loopback(
    monkeypatch: pytest.MonkeyPatch, host: str, printed: str
) -> None:
    monkeypatch.setattr(settings, "RELAY_HOST", host)
    monkeypatch.setattr(settings, "RELAY_PORT", 7_777)

    assert web_address("ws") == printed
    assert web_address("http", "/admin/") == printed.replace("ws:", "http:") + "/admin/"
