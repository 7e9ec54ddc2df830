"""How long events are kept, by the rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.retention import (
    KEEPS_ALL,
    MAX_RULES,
    NotARule,
    Retention,
    Rule,
    parse_rule,
    parse_rules,
    removable,
    retention_of,
)
from tests.events import NOW

DAY = 86_400
ALLOWED, OTHER = "aa" * 32, "bb" * 32


def retention(*rules: str) -> Retention:
    return retention_of(parse_rules(rules))


def is_kept(kept: Retention, kind: int, age: int, author: str = OTHER) -> bool:
    return not kept.is_outside(kind, NOW - age, author, {ALLOWED}, NOW)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("* 365d", Rule((), False, 365 * DAY)),
        ("1 others 12h", Rule(((1, 1),), True, DAY // 2)),
        (" 7,6,1984 1y ", Rule(((6, 7), (1984, 1984)), False, 365 * DAY)),
        ("1000-9999 forever", Rule(((1000, 9999),), False, None)),
    ],
)
def test_a_rule_is_read_and_written_in_one_form(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    "text",
    ["", "1", "1 2 3", "1 some 3d", "x 3d", "1-x 3d", "9-6 3d", "70000 3d", "1,,2 3d", "² 3d"],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(NotARule):
        parse_rule(text)


@pytest.mark.parametrize("age", ["3w", "0d", "-3d", "d", "101y", "3", "1.5d"])
def test_what_is_no_age_is_refused(age: str) -> None:
    with pytest.raises(NotARule):
        parse_rule(f"1 {age}")


@pytest.mark.parametrize("kinds", ["0", "3", "5", "62", "10002", "30023", "20000", "1-3", "1,5"])
def test_09_7_no_rule_names_kinds_that_are_always_kept(kinds: str) -> None:
    with pytest.raises(NotARule):
        parse_rule(f"{kinds} 3d")


def test_there_are_not_too_many_rules() -> None:
    parse_rules(f"1 {number}d" for number in range(1, MAX_RULES + 1))
    with pytest.raises(NotARule):
        parse_rules(f"1 {number}d" for number in range(1, MAX_RULES + 2))


def test_without_a_rule_everything_is_kept() -> None:
    assert is_kept(KEEPS_ALL, 1, NOW)
    assert (KEEPS_ALL.kept, KEEPS_ALL.published()) == ((), [])


def test_an_event_is_kept_until_it_is_older_than_the_age() -> None:
    rules = retention("1 30d")
    assert is_kept(rules, 1, 30 * DAY)
    assert not is_kept(rules, 1, 30 * DAY + 1)


def test_a_rule_that_names_a_kind_holds_in_place_of_that_for_all() -> None:
    rules = retention("* 30d", "1 60d", "7 forever")
    assert [is_kept(rules, kind, 45 * DAY) for kind in (1, 7, 4)] == [True, True, False]


def test_the_shortest_age_holds() -> None:
    assert not is_kept(retention("1 60d", "1 30d", "1 forever"), 1, 45 * DAY)


def test_a_rule_for_others_spares_allowed_keys() -> None:
    rules = retention("* 365d", "1 others 30d")
    assert [is_kept(rules, 1, 45 * DAY, author) for author in (ALLOWED, OTHER)] == [True, False]
    assert not is_kept(rules, 1, 366 * DAY, ALLOWED)


def test_others_are_never_kept_longer_than_allowed_keys() -> None:
    assert not is_kept(retention("* 30d", "1 others 90d"), 1, 45 * DAY, OTHER)


def test_09_7_deletions_and_replaceable_events_are_kept_for_ever() -> None:
    rules = retention("* 1h")
    assert all(is_kept(rules, kind, NOW) for kind in (0, 3, 5, 62, 10_000, 19_999, 20_000, 29_999, 30_000, 39_999))


def test_11_6_the_age_of_other_keys_is_published() -> None:
    assert retention("1,6-7 others 30d").published() == [{"kinds": [1, [6, 7]], "time": 30 * DAY}]


KINDS = st.sampled_from(["*", "1", "1-2", "4", "6-61", "7", "40000-65535"])
AGES = st.sampled_from(["1h", "3h", "1d", "forever"])
RULES = st.lists(
    st.builds(lambda kinds, others, age: f"{kinds}{others} {age}", KINDS, st.sampled_from(["", " others"]), AGES)
)


def naive_age(rules: list[Rule], kind: int, *, is_allowed: bool) -> int | None:
    """By the sentence of the module, for one event."""
    if not removable(kind):
        return None
    apply = [rule for rule in rules if not (rule.others and is_allowed)]
    naming = [rule for rule in apply if any(low <= kind <= high for low, high in rule.kinds)]
    ages = [rule.seconds for rule in naming or [rule for rule in apply if not rule.kinds] if rule.seconds is not None]
    if not is_allowed and (longest := naive_age(rules, kind, is_allowed=True)) is not None:
        ages.append(longest)
    return min(ages, default=None)


@given(
    RULES,
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 61, 62, 63, 9_999, 10_000, 39_999, 40_000, 65_535]),
    st.booleans(),
)
def test_the_classes_say_of_each_kind_what_the_rules_say(texts: list[str], kind: int, is_allowed: bool) -> None:
    rules = parse_rules(texts)
    made = Retention(rules)
    expected = naive_age(list(rules), kind, is_allowed=is_allowed)
    assert made.seconds(kind, is_allowed=is_allowed) == expected
    groups = [kept for kept in made.kept if any(low <= kind <= high for low, high in kept.kinds)]
    assert [kept.all if is_allowed else kept.others for kept in groups] in (
        [expected],
        [] if expected is None else None,
    )
    for age in (1, 3_601, 3 * 3_600 + 1, 2 * DAY):
        is_outside = expected is not None and age > expected
        assert made.is_outside(kind, NOW - age, ALLOWED if is_allowed else OTHER, {ALLOWED}, NOW) == is_outside
