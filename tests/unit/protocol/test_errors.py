"""Refusals and their texts."""

import pytest

from relay.protocol import errors
from relay.protocol.errors import Blocked, Invalid, Prefix, RateLimited, RelayError


def test_the_text_is_the_prefix_a_colon_and_the_message() -> None:
    assert Invalid("bad id").text == "invalid: bad id"


def test_without_a_message_the_first_line_of_the_docstring_speaks() -> None:
    assert RateLimited().text == "rate-limited: too many messages, slow down"


def test_the_general_refusal_says_only_its_first_line() -> None:
    assert RelayError().text == "error: the relay refuses this"


def test_every_refusal_is_a_relay_error() -> None:
    assert isinstance(Blocked(), RelayError)


@pytest.mark.parametrize("prefix", [prefix for prefix in Prefix if prefix is not Prefix.MUTE])
def test_01_e02_every_prefix_but_mute_has_its_error(prefix: Prefix) -> None:
    found = {kind.prefix for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RelayError)}
    assert prefix in found
