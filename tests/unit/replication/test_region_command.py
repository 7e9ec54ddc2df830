"""The options of `manage.py region`, as far as no database is needed."""

import re

import pytest
from django.core.management import CommandError

from replication.described import location_of
from replication.management.commands.region import LOCATION_HELP, Command

PARSER = Command().create_parser("manage.py", "region")


def test_a_place_in_the_south_is_written_as_the_help_says() -> None:
    (option,) = re.findall(r"--location=\S+", LOCATION_HELP)
    given = PARSER.parse_args(["set", "au", option])
    assert location_of(given.location) == (-33.87, 151.21)


def test_a_value_that_begins_with_a_hyphen_is_taken_for_an_option_without_the_equals_sign() -> None:
    with pytest.raises(CommandError, match="expected one argument"):
        PARSER.parse_args(["set", "au", "--location", "-33.87,151.21"])
