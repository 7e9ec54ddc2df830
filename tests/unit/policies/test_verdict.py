"""The texts that operators' own policies give as reasons."""

import pytest

from relay.policies.verdict import ACCEPT, NO_REASON, SHADOW, Verdict, reject, verdict_of


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("rate-limited: slowly", "rate-limited: slowly"),
        ("auth-required: log in", "auth-required: log in"),
        ("no advertising", "blocked: no advertising"),
        ("see https://example.com", "blocked: see https://example.com"),
        ("invalid:no title", "invalid: no title"),
        ("restricted :members alone", "blocked: restricted :members alone"),
        ("pow:", f"pow: {NO_REASON}"),
        ("blocked: ", f"blocked: {NO_REASON}"),
        ("", f"blocked: {NO_REASON}"),
        ("unsupported: kind", "blocked: unsupported: kind"),  # a prefix of CLOSED alone
    ],
)
def test_01_e02_a_reason_has_a_prefix_of_an_ok_and_a_text(given: str, sent: str) -> None:
    assert reject(given).text == sent


def test_01_e01_a_refusal_that_a_function_made_itself_has_a_text_too() -> None:
    assert verdict_of(Verdict(False)) == Verdict(False, f"blocked: {NO_REASON}")
    assert verdict_of(Verdict(False, "no advertising")) == Verdict(False, "blocked: no advertising")
    assert verdict_of(reject("pow: more")) == Verdict(False, "pow: more")
    assert (verdict_of(SHADOW), verdict_of(ACCEPT)) == (SHADOW, ACCEPT)
