"""Secrets of peers at rest."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from replication.models import Region
from replication.sealing import Unreadable, new_secret, seal, unseal


def test_a_secret_is_read_with_the_key_that_sealed_it() -> None:
    assert unseal(seal("the secret")) == "the secret"
    assert "the secret" not in seal("the secret")
    assert seal("") == unseal("") == ""


def test_an_earlier_key_still_reads_what_it_sealed(settings: Settings) -> None:
    sealed = seal("the secret")
    settings.SECRET_KEY, before = "another key " * 5, settings.SECRET_KEY
    with pytest.raises(Unreadable):
        unseal(sealed)
    settings.SECRET_KEY_FALLBACKS = [before]
    assert unseal(sealed) == "the secret"


def test_a_rotation_keeps_the_secret_before_valid_for_a_while() -> None:
    region = Region(name="eu")
    first = region.rotate()
    second = region.rotate(keep=timedelta(days=1))
    assert region.secrets() == (second, first)
    assert region.secrets(timezone.now() + timedelta(days=2)) == (second,)


def test_entering_the_present_secret_again_changes_nothing() -> None:
    region = Region(name="eu")
    first = region.rotate(new_secret())
    region.rotate(first)
    assert region.secrets() == (first,)


def test_a_peer_without_a_secret_has_no_valid_one() -> None:
    assert Region(name="eu").secrets() == ()
    assert Region(name="eu").secret_state == "none"


def test_a_new_secret_needs_no_escape_in_a_shell_a_url_or_an_option() -> None:
    assert set(new_secret()) <= set("0123456789abcdef")
