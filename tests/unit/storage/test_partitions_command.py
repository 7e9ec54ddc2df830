"""What `manage.py partitions` says. Without a database."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from relay.management.commands import partitions
from relay.storage.partitions.plan import State


def status(state: State, monkeypatch: pytest.MonkeyPatch) -> str:
    out = StringIO()
    monkeypatch.setattr(partitions, "read_state", lambda: state)
    monkeypatch.setattr(partitions.Command, "_print_progress", lambda _command: None)
    call_command("partitions", "--status", stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("until", [86_400, None])
def test_the_status_tells_of_a_division_that_was_ended_between_the_two_tables(
    until: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = State(newest=1, until=until, closes=86_400)
    assert status(left, monkeypatch) == "being divided: the past ends 1970-01-02\n"
    assert status(State(newest=1), monkeypatch) == "one table\n"


def test_a_store_that_cannot_be_divided_is_told_apart_from_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "read_state", lambda: State(newest=2**63 - 1))
    with pytest.raises(CommandError, match="the year 9989"):
        call_command("partitions", "--dry-run", stdout=StringIO())
