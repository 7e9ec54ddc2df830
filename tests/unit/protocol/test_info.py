"""The relay information document."""

from dataclasses import replace
from typing import Any

import pytest

from relay.protocol.info import RelayIdentity, relay_information
from relay.protocol.limits import Limits
from relay.protocol.retention import parse_rules, retention_of

LIMITS = Limits()


def document(identity: RelayIdentity | None = None, limits: Limits = LIMITS) -> dict[str, Any]:
    return relay_information(identity or RelayIdentity(), limits, [40, 1, 11, 1])


def test_11_3_fields_that_are_not_set_are_left_out() -> None:
    assert set(document(RelayIdentity(name="x"))) == {"name", "supported_nips", "limitation"}


def test_11_3_the_relays_own_key_is_called_self() -> None:
    assert document(RelayIdentity(own_pubkey="ab" * 32))["self"] == "ab" * 32


def test_11_3_every_field_appears_under_its_name() -> None:
    names = ("name", "description", "banner", "icon", "pubkey", "contact", "software", "version", "terms_of_service")
    found = document(RelayIdentity(**dict.fromkeys(names, "x")))
    assert all(found[name] == "x" for name in names)


def test_11_7_supported_nips_are_those_given_sorted_and_once() -> None:
    assert document()["supported_nips"] == [1, 11, 40]


@pytest.mark.parametrize(
    "name",
    [
        *("max_message_length", "max_subscriptions", "max_limit", "max_subid_length", "max_event_tags"),
        *("max_content_length", "created_at_lower_limit", "created_at_upper_limit", "default_limit"),
    ],
)
def test_11_4_every_limit_is_published_as_it_is_enforced(name: str) -> None:
    changed: Any = {name: 77}
    assert document(limits=replace(LIMITS, **changed))["limitation"][name] == 77


def test_11_6_retention_is_published_where_the_operator_set_one() -> None:
    kept = retention_of(parse_rules(["7 30d"]))
    assert relay_information(RelayIdentity(), LIMITS, [1], kept)["retention"] == [{"kinds": [7], "time": 2_592_000}]
    assert "retention" not in document()


def test_11_4_no_lower_limit_of_time_is_not_published() -> None:
    assert "created_at_lower_limit" not in document()["limitation"]


def test_11_4_a_default_limit_above_the_largest_is_published_as_it_works() -> None:
    assert document(limits=Limits(max_limit=10, default_limit=50))["limitation"]["default_limit"] == 10


def test_11_4_proof_of_work_is_published_when_it_is_asked() -> None:
    limitation = document(limits=Limits(min_pow_difficulty=20))["limitation"]
    assert (limitation["min_pow_difficulty"], limitation["restricted_writes"]) == (20, True)
    assert "min_pow_difficulty" not in document()["limitation"]


@pytest.mark.parametrize(
    "limits, auth_required, restricted_writes",
    [
        (Limits(), False, False),
        (Limits(auth_to_read=True), False, False),
        (Limits(auth_to_write=None), False, True),
        (Limits(auth_to_write=frozenset({1_059})), False, True),
        (Limits(auth_to_read=True, auth_to_write=None), True, True),
        (Limits(min_pow_by_kind=((7, 20),)), False, True),
        (Limits(min_pow_by_kind=((7, 0),)), False, False),
    ],
)
def test_42_7_a_login_that_is_asked_before_anything_is_published(
    limits: Limits, auth_required: bool, restricted_writes: bool
) -> None:
    limitation = document(limits=limits)["limitation"]
    assert (limitation["auth_required"], limitation["restricted_writes"]) == (auth_required, restricted_writes)


def test_11_6_no_removed_fields_are_published() -> None:
    assert not {"retention", "fees", "payments_url"} & set(document())
    assert "max_filters" not in document()["limitation"]
