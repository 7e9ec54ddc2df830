"""`manage.py region`, and the regions of the first start."""

import io

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from replication import first_start
from replication.described import peer_of
from replication.models import Region

pytestmark = pytest.mark.django_db

SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"


def region(*arguments: str) -> str:
    printed = io.StringIO()
    call_command("region", *arguments, stdout=printed)
    return printed.getvalue()


def test_a_peer_is_added_with_a_secret_and_listed_without() -> None:
    region("add", "eu", "--local", "--location", "52.52,13.40")
    printed = region("add", "us", "--endpoint", "https://us.example.com")
    (secret,) = Region.objects.get(name="us").secrets()
    assert f"secret: {secret}" in printed
    listed = region("list")
    assert secret not in listed
    assert "eu" in listed
    assert "us" in listed


def test_a_rotation_prints_the_new_secret() -> None:
    region("add", "us", "--endpoint", "https://us.example.com", "--secret", SECRET)
    printed = region("rotate", "us")
    found = Region.objects.get(name="us").secrets()
    assert found[1] == SECRET
    assert f"secret: {found[0]}" in printed


def test_a_region_is_renamed_changed_and_removed() -> None:
    region("add", "us", "--endpoint", "https://us.example.com")
    region("rename", "us", "us-east")
    region("set", "us-east", "--not-enabled", "--trusted", "--weight", "50")
    found = Region.objects.get(name="us-east")
    assert (found.enabled, found.trusted, found.weight) == (False, True, 50)
    region("remove", "us-east")
    assert not Region.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "us"),
        ("add", "us", "--endpoint", "https://us.example.com/path"),
        ("add", "us", "--endpoint", "https://us.example.com", "--secret", "short"),
        ("add", "us", "--endpoint", "https://us.example.com", "--location", "here"),
        ("set", "nowhere", "--trusted"),
        ("remove", "nowhere"),
    ],
)
def test_what_is_wrong_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        region(*arguments)
    assert not Region.objects.exists()


def test_the_first_start_takes_the_regions_of_the_settings_once(settings: Settings) -> None:
    settings.RELAY_REGION, settings.RELAY_REGION_LOCATION = "eu", (52.52, 13.4)
    settings.RELAY_PEERS = (peer_of(f"us=https://us.example.com?secret={SECRET}"),)
    assert first_start.install() == 2
    assert Region.objects.get(name="us").secrets() == (SECRET,)
    Region.objects.get(name="us").delete()
    assert first_start.install() == 0
    assert [found.name for found in Region.objects.all()] == ["eu"]
