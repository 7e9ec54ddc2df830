"""What the command refuses before it has opened a connection."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from relay.management.commands.loadtest import Command

UNREACHABLE_RELAY = "ws://127.0.0.1:9"


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([UNREACHABLE_RELAY, "--connections=1000000"], "--connections must be from 1 to 20,000, not 1,000,000"),
        ([UNREACHABLE_RELAY, "--thresholds=speed=1"], "there is no threshold 'speed'"),
        ([UNREACHABLE_RELAY, "--existing"], "--existing goes with --scenario query alone"),
        ([UNREACHABLE_RELAY, "--scenario=ingest", "--reopen"], "--reopen goes with --scenario mixed alone"),
        ([UNREACHABLE_RELAY, "--json=/nowhere/at/all"], "/nowhere/at/all cannot be written"),
        (["http://127.0.0.1"], "not the address of a relay"),
        (["ws://10.0.0.1"], "--allow-remote"),
    ],
)
def test_wrong_usage_is_one_sentence_with_exit_code_2(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said) as refused:
        call_command("loadtest", *arguments)

    assert refused.value.returncode == 2


def test_a_folder_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("loadtest", UNREACHABLE_RELAY, f"--html={tmp_path}")


def test_it_needs_no_check_of_the_settings() -> None:
    assert Command.requires_system_checks == []
    assert not Command.requires_migrations_checks
