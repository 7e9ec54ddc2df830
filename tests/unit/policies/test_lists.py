"""The lists of one process: entries in the order of versions, and the policies that read them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policies.admission import BEFORE_SIGNATURE, Context, check
from relay.policies.lists import ListName, Lists
from relay.policies.source import Source, SourceKind
from relay.protocol.errors import RelayError
from relay.protocol.event import Event
from relay.protocol.limits import Limits
from relay.protocol.retention import parse_rules
from relay.storage.primary import ListRow
from tests.events import NOW, pubkey_of, secret, unsigned_event

KEY, OTHER = pubkey_of(secret(1)), pubkey_of(secret(2))


def row(name: str, key: str, *, until: int = 0, removed: bool = False, version: int = 1) -> ListRow:
    return ListRow(name, key, until, removed, version)


def lists(*rows: ListRow) -> Lists:
    made = Lists()
    made.apply(rows)
    return made


def refusal(
    given_lists: Lists, event: dict[str, Any], limits: Limits | None = None, source: Source | None = None
) -> str:
    """What the policies say to an event, "" if nothing."""
    context = Context(limits or Limits(), NOW, source or Source(SourceKind.CLIENT), given_lists)
    try:
        check(BEFORE_SIGNATURE, context, msgspec.convert(event, Event))
    except RelayError as error:
        return error.text
    return ""


def old_event(seconds: int, kind: int = 1) -> dict[str, Any]:
    return unsigned_event(kind=kind, created_at=NOW - seconds, pubkey=OTHER)


def test_what_retention_would_remove_is_refused() -> None:
    held = lists(row(ListName.RETENTION, "1 1h"))
    assert refusal(held, old_event(3_600)) == ""
    assert refusal(held, old_event(3_601)).startswith("invalid: ")
    assert refusal(held, old_event(3_601, kind=7)) == ""


def test_rules_of_the_settings_hold_beside_those_of_the_list_and_after_they_are_lifted() -> None:
    held = Lists(parse_rules(["1 2h"]))
    held.apply([row(ListName.RETENTION, "1 1h")])
    assert refusal(held, old_event(5_000)).startswith("invalid: ")
    held.apply([row(ListName.RETENTION, "1 1h", removed=True, version=2)])
    assert refusal(held, old_event(5_000)) == ""
    assert refusal(held, old_event(7_201)).startswith("invalid: ")


def test_a_rule_of_a_later_version_that_cannot_be_read_is_left_out() -> None:
    assert refusal(lists(row(ListName.RETENTION, "1 quietly 1h")), old_event(9_999)) == ""


CHANGES = st.lists(st.tuples(st.sampled_from([KEY, OTHER]), st.sampled_from([0, NOW - 1, NOW + 1]), st.booleans()))


@given(CHANGES, st.integers(1, 3))
def test_lists_in_pages_hold_the_last_state_of_each_entry(changes: list[tuple[str, int, bool]], page: int) -> None:
    rows = [
        row(ListName.BANNED_KEY, key, until=until, removed=removed, version=number)
        for number, (key, until, removed) in enumerate(changes, 1)
    ]
    held = Lists()
    for at in range(0, len(rows), page):
        held.apply(rows[at : at + page])
    last = {entry.key: entry for entry in rows}
    for key in (KEY, OTHER):
        entry = last.get(key)
        assert held.is_banned(key, NOW) == (entry is not None and not entry.removed and entry.until in (0, NOW + 1))
    assert held.version == len(rows)


def test_an_entry_of_a_list_that_is_not_known_is_left_out() -> None:
    assert lists(row("of another release", "x", version=7), row(ListName.DENIED_KIND, "x", version=8)).version == 8


def test_86_5_a_banned_key_publishes_nothing() -> None:
    banned = lists(row(ListName.BANNED_KEY, KEY))
    assert refusal(banned, unsigned_event()) == "blocked: this public key is banned here"
    assert refusal(banned, unsigned_event(pubkey=OTHER)) == ""


def test_a_ban_ends_at_its_time() -> None:
    assert refusal(lists(row(ListName.BANNED_KEY, KEY, until=NOW)), unsigned_event()) == ""


def test_62_4_no_list_keeps_a_request_to_vanish_out() -> None:
    request = unsigned_event(kind=62, tags=[["relay", "ALL_RELAYS"]])
    full = lists(row(ListName.BANNED_KEY, KEY), row(ListName.DENIED_KIND, "62"))
    assert refusal(full, request, Limits(restricted_writes=True, restricted_kinds=True)) == ""


def test_62_4_a_request_to_vanish_may_name_as_many_relays_as_an_event_has_tags() -> None:
    relays = [["relay", f"wss://{number}.example"] for number in range(10_000)]
    assert refusal(lists(), unsigned_event(kind=62, tags=relays)) == ""
    assert refusal(lists(), unsigned_event(kind=62, tags=[["relay", ""]])).startswith("invalid: ")


def test_86_7_allowed_keys_and_kinds_restrict_nothing_by_themselves() -> None:
    allowed = lists(row(ListName.ALLOWED_KEY, OTHER), row(ListName.ALLOWED_KIND, "7"))
    assert refusal(allowed, unsigned_event()) == ""


def test_86_7_with_restricted_writes_only_allowed_keys_publish() -> None:
    members, allowed = Limits(restricted_writes=True), lists(row(ListName.ALLOWED_KEY, OTHER))
    stranger = Source(SourceKind.CLIENT, proved=frozenset({KEY}))
    assert refusal(allowed, unsigned_event(), members, stranger) == "restricted: only members publish here"
    assert refusal(allowed, unsigned_event(pubkey=OTHER), members) == ""
    logged_in = Source(SourceKind.CLIENT, proved=frozenset({OTHER}))
    assert refusal(allowed, unsigned_event(), members, logged_in) == ""


def test_42_5_with_restricted_writes_a_client_is_asked_to_log_in_as_a_member() -> None:
    members, allowed = Limits(restricted_writes=True), lists(row(ListName.ALLOWED_KEY, OTHER))
    wrap_of_a_member = unsigned_event(kind=1059, tags=[["p", KEY]])
    for event in (unsigned_event(), wrap_of_a_member):
        assert refusal(allowed, event, members) == "auth-required: only members publish here"
        assert refusal(allowed, event, members, Source(SourceKind.IMPORT)).startswith("restricted: ")
        assert refusal(allowed, event, members, Source(SourceKind.CLIENT, proved=frozenset({OTHER}))) == ""


@pytest.mark.parametrize("kind", [1059, 21059])
def test_59_6_a_gift_wrap_is_judged_by_its_recipient(kind: int) -> None:
    members, allowed = Limits(restricted_writes=True), lists(row(ListName.ALLOWED_KEY, OTHER))
    assert refusal(allowed, unsigned_event(kind=kind, tags=[["p", OTHER]]), members) == ""
    assert refusal(allowed, unsigned_event(kind=kind, tags=[["p", KEY], ["p"]]), members) != ""
    assert refusal(allowed, unsigned_event(kind=1, tags=[["p", OTHER]]), members) != ""


def test_86_7_a_denied_kind_is_refused_with_and_without_restricted_kinds() -> None:
    rules = lists(row(ListName.DENIED_KIND, "1"), row(ListName.ALLOWED_KIND, "1"), row(ListName.ALLOWED_KIND, "7"))
    for limits in (Limits(), Limits(restricted_kinds=True)):
        assert refusal(rules, unsigned_event(), limits) == "blocked: events of kind 1 are not accepted here"
    assert refusal(rules, unsigned_event(kind=7), Limits(restricted_kinds=True)) == ""
    assert refusal(rules, unsigned_event(kind=6), Limits(restricted_kinds=True)) != ""
