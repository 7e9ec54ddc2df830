"""Limits in words."""

import pytest

from relay.protocol.limits import Limits
from relay.protocol.retention import parse_rules, retention_of
from relay.views.policy_text import duration, nips, policies, size


@pytest.mark.parametrize(
    "seconds, words",
    [(0, "0 seconds"), (1, "1 second"), (90, "90 seconds"), (900, "15 minutes"), (3600, "1 hour"), (172_800, "2 days")],
)
def test_a_duration_is_told_in_the_largest_unit_that_divides_it(seconds: int, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    "length, words", [(512, "512 bytes"), (524_288, "512 KiB"), (1_048_576, "1 MiB"), (1025, "1,025 bytes")]
)
def test_a_size_is_told_in_the_largest_unit_that_divides_it(length: int, words: str) -> None:
    assert size(length) == words


def test_a_default_below_the_highest_limit_is_told() -> None:
    told = dict(policies(Limits(max_limit=1_000, default_limit=100)))

    assert told["Queries"] == "up to 1,000 events for each filter, 100 unless you ask"


def test_without_a_lower_limit_events_may_be_of_any_age() -> None:
    assert dict(policies(Limits()))["Events"].startswith("of any age")
    assert dict(policies(Limits(created_at_lower_limit=86_400)))["Events"].startswith("up to 1 day old")


def test_what_is_not_kept_for_ever_is_told() -> None:
    told = dict(policies(Limits(), retention_of(parse_rules(["7,1000-2000 30d", "1 1y"]))))
    assert told["Kept"] == "kind 1 for 365 days; kinds 7, 1000–2000 for 30 days; all else for ever"
    assert "Kept" not in dict(policies(Limits()))


def test_a_nip_without_a_name_here_is_still_listed() -> None:
    assert nips((1, 999)) == [("01", "Basic protocol"), ("999", "")]
