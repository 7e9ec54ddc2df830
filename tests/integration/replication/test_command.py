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


def test_a_secret_is_read_from_standard_input_where_others_do_not_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SECRET}\n"))
    printed = region("add", "us", "--endpoint", "https://us.example.com", "--secret", "-")

    assert Region.objects.get(name="us").secrets() == (SECRET,)
    assert SECRET not in printed


def test_no_line_on_standard_input_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    with pytest.raises(CommandError, match="32 characters or more"):
        region("add", "us", "--endpoint", "https://us.example.com", "--secret", "-")


def test_a_region_is_renamed_changed_and_removed() -> None:
    region("add", "us", "--endpoint", "https://us.example.com")
    region("rename", "us", "us-east")
    region("set", "us-east", "--not-enabled", "--trusted", "--weight", "50")
    found = Region.objects.get(name="us-east")
    assert (found.enabled, found.trusted, found.weight) == (False, True, 50)
    region("remove", "us-east")
    assert not Region.objects.exists()


def test_everything_is_compared_with_a_peer_that_is_enabled_again() -> None:
    region("add", "us", "--endpoint", "https://us.example.com")
    Region.objects.update(repair_asked_at=None)
    region("set", "us", "--not-enabled")
    region("set", "us", "--weight", "50")
    assert Region.objects.get(name="us").repair_asked_at is None
    region("set", "us", "--enabled")
    found = Region.objects.get(name="us")
    assert found.repair_asked_at is not None
    assert found.repair_reason == "enabled again"


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "us"),
        ("add", "us", "--endpoint", "https://us.example.com/path"),
        ("add", "us", "--endpoint", "https://us.example.com", "--secret", "short"),
        ("add", "us", "--endpoint", "https://us.example.com", "--location", "here"),
        ("set", "nowhere", "--trusted"),
        ("rotate", "nowhere"),
        ("remove", "nowhere"),
    ],
)
def test_what_is_wrong_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        region(*arguments)
    assert not Region.objects.exists()


def test_a_refusal_names_the_field() -> None:
    with pytest.raises(CommandError, match=r"endpoint: must be a URL .* weight: Ensure"):
        region("add", "us", "--endpoint", "us.example.com", "--weight", "0")


def test_the_name_of_this_region_is_given_once() -> None:
    region("add", "eu", "--local")
    with pytest.raises(CommandError, match="This region has the name eu"):
        region("add", "asia", "--local")


def test_this_region_has_no_secret() -> None:
    region("add", "eu", "--local")
    with pytest.raises(CommandError, match="is this region itself"):
        region("rotate", "eu")


def test_this_region_is_removed_after_its_peers() -> None:
    region("add", "eu", "--local")
    region("add", "us", "--endpoint", "https://us.example.com")
    with pytest.raises(CommandError, match="remove its peers first"):
        region("remove", "eu")
    region("remove", "us")
    region("remove", "eu")
    assert not Region.objects.exists()


@pytest.mark.parametrize("days", ["nan", "-1", "1e12", "soon"])
def test_days_that_are_none_are_refused(days: str) -> None:
    region("add", "us", "--endpoint", "https://us.example.com", "--secret", SECRET)
    with pytest.raises(CommandError, match="keep-days"):
        region("rotate", "us", "--keep-days", days)
    assert Region.objects.get(name="us").secrets() == (SECRET,)


def test_a_disabled_peer_is_not_reconciled_and_the_reason_is_named() -> None:
    region("add", "us", "--endpoint", "https://us.example.com", "--not-enabled")
    with pytest.raises(CommandError, match="us is disabled"):
        call_command("reconcile", "us")


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(CommandError, match="later than --until"):
        call_command("reconcile", "us", "--since", "2026-11-20", "--until", "2026-11-01")


def test_the_first_start_takes_the_regions_of_the_settings_once(settings: Settings) -> None:
    settings.RELAY_REGION, settings.RELAY_REGION_LOCATION = "eu", (52.52, 13.4)
    settings.RELAY_PEERS = (peer_of(f"us=https://us.example.com?secret={SECRET}"),)
    assert first_start.install() == 2
    assert Region.objects.get(name="us").secrets() == (SECRET,)
    Region.objects.get(name="us").delete()
    assert first_start.install() == 0
    assert [found.name for found in Region.objects.all()] == ["eu"]
