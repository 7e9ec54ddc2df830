"""The broker's URL as Celery's library takes it."""

import ssl
from typing import Any

import pytest
from kombu.connection import Connection

from relayproject.broker import LIMITS, broker_of


@pytest.mark.parametrize(
    "url, taken",
    [
        ("redis://h", "redis://h:6379/0"),
        ("valkey://:p%2Fw@h:1/3", "redis://:p%2Fw@h:1/3"),
        ("unix:///run/v.sock", "redis+socket:///run/v.sock"),
    ],
)
def test_one_server(url: str, taken: str) -> None:
    assert broker_of(url).url == taken


def test_sentinels_with_the_login_of_the_master_and_their_own() -> None:
    broker = broker_of("redis+sentinel://us:secret@h1,h2:2/3?service=main&sentinel_password=other")

    assert broker.url == "sentinel://us:secret@h1:26379/3;sentinel://us:secret@h2:2/3"
    assert broker.options["master_name"] == "main"
    login = {"username": None, "password": "other"}
    assert broker.options["sentinel_kwargs"].items() >= {**LIMITS, **login}.items()
    connect: Any = Connection
    assert connect(broker.url).virtual_host == "3"
    assert "secret" not in repr(broker)


def test_tls_is_verified_unless_the_url_says_otherwise() -> None:
    assert broker_of("redis://h").tls is None
    assert broker_of("rediss://h").tls == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    broker = broker_of("rediss+sentinel://h/main?ssl_cert_reqs=none")
    assert broker.url == "sentinel://h:26379/0"
    assert broker.tls == {"ssl_cert_reqs": ssl.CERT_NONE}
    assert broker.options["sentinel_kwargs"]["ssl"] is True
