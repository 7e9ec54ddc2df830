"""Which relays are loaded without being told that it is meant."""

import pytest

from relay.loadtest.address import AddressError, check_address

HERE = ["ws://127.0.0.1:8000", "ws://127.8.9.1", "ws://[::1]:1/path", "ws://LOCALHOST:80", "ws://[::ffff:127.0.0.1]:1"]
ELSEWHERE = [
    "wss://relay.example.com",
    "ws://10.0.0.1:80",
    "ws://localhost.example.com",
    "ws://0.0.0.0:1",
    "ws://[::]:1",
]
WRONG = ["http://127.0.0.1", "127.0.0.1:8000", "ws://", "ws://127.0.0.1:0", "ws://127.0.0.1:x", "ws://[::1", "ws://a b"]


@pytest.mark.parametrize("url", HERE)
def test_this_machine_is_loaded(url: str) -> None:
    assert check_address(url, allow_remote=False) == url


@pytest.mark.parametrize("url", ELSEWHERE)
def test_another_machine_is_refused(url: str) -> None:
    with pytest.raises(AddressError, match="--allow-remote"):
        check_address(url, allow_remote=False)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_another_machine_is_loaded_when_it_is_meant(url: str) -> None:
    assert check_address(url, allow_remote=True) == url


def test_a_name_that_hides_the_host_is_seen_through() -> None:
    with pytest.raises(AddressError, match="another one"):
        check_address("ws://127.0.0.1@relay.example.com", allow_remote=False)


@pytest.mark.parametrize("url", WRONG)
def test_what_is_no_relay_address_is_named(url: str) -> None:
    with pytest.raises(AddressError, match="not the address of a relay"):
        check_address(url, allow_remote=True)
